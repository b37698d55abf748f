//! What of a source file is public.

use syn::{Attribute, Fields, File, ImplItem, Item, ItemImpl, TraitItem, Type, Visibility, parse_quote};

/// The public part of a file.
pub(super) struct Found {
    /// Its items.
    pub(super) items: File,
    /// The modules that it declares, each with whether it is public.
    pub(super) modules: Vec<(String, bool)>,
}

/// Takes out what is not public, and what is not contract.
pub(super) fn public(file: File) -> Found {
    let private: Vec<String> = file.items.iter().filter_map(private_type).collect();
    let mut modules = Vec::new();
    let mut items = Vec::new();
    for item in file.items {
        if let Item::Mod(module) = &item {
            if module.content.is_none() {
                modules.push((module.ident.to_string(), is_public(&module.vis)));
            }
            continue;
        }
        items.extend(reduced(item, &private));
    }
    Found { items: File { shebang: None, frontmatter: None, attrs: Vec::new(), items }, modules }
}

fn private_type(item: &Item) -> Option<String> {
    match item {
        Item::Struct(i) if !is_public(&i.vis) => Some(i.ident.to_string()),
        Item::Enum(i) if !is_public(&i.vis) => Some(i.ident.to_string()),
        _ => None,
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Keeps the attributes that a user of the item sees.
fn strip(attributes: &mut Vec<Attribute>) {
    const KEPT: [&str; 6] = ["derive", "must_use", "non_exhaustive", "cfg", "macro_export", "async_trait"];
    attributes.retain(|a| KEPT.iter().any(|kept| a.path().is_ident(kept)));
}

fn reduced(item: Item, private: &[String]) -> Option<Item> {
    match item {
        Item::Const(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            Some(Item::Const(i))
        }
        Item::Enum(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            for variant in &mut i.variants {
                strip(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|f| strip(&mut f.attrs));
            }
            Some(Item::Enum(i))
        }
        Item::Fn(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            *i.block = parse_quote!({});
            Some(Item::Fn(i))
        }
        Item::Impl(i) => implementation(i, private),
        Item::Macro(mut i) => {
            strip(&mut i.attrs);
            let is_definition = i.mac.path.is_ident("macro_rules");
            if is_definition {
                i.mac.tokens = Default::default();
            }
            let is_exported = i.attrs.iter().any(|a| a.path().is_ident("macro_export"));
            (is_exported || !is_definition).then_some(Item::Macro(i))
        }
        Item::Struct(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            hide_private(&mut i.fields);
            Some(Item::Struct(i))
        }
        Item::Trait(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            for member in &mut i.items {
                match member {
                    TraitItem::Fn(f) => {
                        strip(&mut f.attrs);
                        if f.default.is_some() {
                            f.default = Some(parse_quote!({}));
                        }
                    }
                    TraitItem::Const(c) => strip(&mut c.attrs),
                    TraitItem::Type(t) => strip(&mut t.attrs),
                    _ => {}
                }
            }
            Some(Item::Trait(i))
        }
        Item::Type(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            Some(Item::Type(i))
        }
        Item::Use(mut i) if is_public(&i.vis) => {
            strip(&mut i.attrs);
            Some(Item::Use(i))
        }
        _ => None,
    }
}

/// A private field is part of nobody's contract, but that there is one is: it forbids making the value by hand.
fn hide_private(fields: &mut Fields) {
    match fields {
        Fields::Named(named) => {
            let all = std::mem::take(&mut named.named);
            let count = all.len();
            named.named = all.into_iter().filter(|f| is_public(&f.vis)).collect();
            named.named.iter_mut().for_each(|f| strip(&mut f.attrs));
            if named.named.len() < count {
                named.named.push(parse_quote!(private: _));
            }
        }
        Fields::Unnamed(unnamed) => {
            for field in &mut unnamed.unnamed {
                strip(&mut field.attrs);
                if !is_public(&field.vis) {
                    field.ty = parse_quote!(_);
                }
            }
        }
        Fields::Unit => {}
    }
}

/// Of an implementation of a trait: that it exists, and its types. Of others: what is public in it.
fn implementation(mut i: ItemImpl, private: &[String]) -> Option<Item> {
    if let Type::Path(path) = &*i.self_ty {
        let name = path.path.segments.last()?.ident.to_string();
        if private.contains(&name) {
            return None;
        }
    }
    strip(&mut i.attrs);
    let of_trait = i.trait_.is_some();
    i.items.retain_mut(|member| match member {
        ImplItem::Fn(f) => {
            strip(&mut f.attrs);
            f.block = parse_quote!({});
            !of_trait && is_public(&f.vis)
        }
        ImplItem::Const(c) => {
            strip(&mut c.attrs);
            of_trait || is_public(&c.vis)
        }
        ImplItem::Type(t) => {
            strip(&mut t.attrs);
            of_trait || is_public(&t.vis)
        }
        _ => false,
    });
    (of_trait || !i.items.is_empty()).then_some(Item::Impl(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(source: &str) -> String {
        prettyplease::unparse(&public(syn::parse_file(source).unwrap()).items)
    }

    #[test]
    fn what_is_private_does_not_show() {
        let text = listed(
            "struct Hidden; impl Clone for Hidden { } fn helper() {} pub(crate) fn inside() {}
             pub struct Shown { pub name: String, secret: u8 } impl Shown { fn quiet(&self) {} }",
        );
        assert_eq!(text, "pub struct Shown {\n    pub name: String,\n    private: _,\n}\n");
    }

    #[test]
    fn a_changed_signature_a_new_variant_and_a_lost_derive_show() {
        let before = listed("pub fn f(a: u8) {} ");
        assert_ne!(before, listed("pub fn f(a: u16) {}"));
        assert_ne!(listed("pub enum E { A }"), listed("pub enum E { A, B }"));
        assert_ne!(listed("#[derive(Clone)] pub struct S;"), listed("pub struct S;"));
        assert_ne!(listed("pub trait T { fn f(); }"), listed("pub trait T { fn f() {} }"));
    }

    #[test]
    fn a_changed_body_or_comment_does_not_show() {
        assert_eq!(listed("/// One.\npub fn f() -> u8 { 1 }"), listed("/// Two.\npub fn f() -> u8 { 2 }"));
    }
}
