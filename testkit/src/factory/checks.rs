//! The checks.

use std::collections::BTreeSet;

use connector_api::Error;
use serde_json::{Value, json};

use super::FactorySubject;
use super::ends::{End, Kind, PREFIX, options, set, without};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::ensure;
use crate::lab::{Lab, Subject};

/// The checks of one end.
macro_rules! end {
    ($end:literal, $kind:expr, $needs:expr) => {
        vec![
            Check {
                name: concat!("factory::", $end, "::every_option_is_listed_and_documented"),
                rules: &["K-1"],
                source: "Kafka's ConfigDef; Flink's factories (FLIP-95)",
                failure: "a user can't find out which options there are, or what one does",
                needs: $needs,
                run: |lab| once(lab, $kind, documented),
            },
            Check {
                name: concat!("factory::", $end, "::a_documented_default_is_accepted"),
                rules: &["K-1"],
                source: "Flink's factories (FLIP-95)",
                failure: "the documentation states a default that can't be one",
                needs: $needs,
                run: |lab| once(lab, $kind, defaults),
            },
            Check {
                name: concat!("factory::", $end, "::a_missing_option_is_refused_by_name"),
                rules: &["K-2"],
                source: "Flink's FactoryUtil",
                failure: "a user who forgot an option is not told which",
                needs: $needs,
                run: |lab| once(lab, $kind, missing),
            },
            Check {
                name: concat!("factory::", $end, "::an_unknown_option_is_refused_by_name"),
                rules: &["K-2"],
                source: "Flink's FactoryUtil",
                failure: "a misspelt option is silently ignored, or the user is not told which it is",
                needs: $needs,
                run: |lab| once(lab, $kind, unknown),
            },
            Check {
                name: concat!("factory::", $end, "::a_value_of_a_wrong_type_is_refused_by_name"),
                rules: &["K-3", "F-1"],
                source: "Flink's FactoryUtil",
                failure: "a user who gave a wrong value is not told for which option",
                needs: $needs,
                run: |lab| once(lab, $kind, wrong_type),
            },
            Check {
                name: concat!("factory::", $end, "::create_does_no_input_or_output"),
                rules: &["K-4"],
                source: "FLINK-26177: clients that connect while a job is planned",
                failure: "a pipeline can't be looked at without its systems, or creating it blocks",
                needs: $needs,
                run: |lab| once(lab, $kind, create),
            },
            Check {
                name: concat!("factory::", $end, "::the_identity_tells_data_apart_and_nothing_else"),
                rules: &["K-5"],
                source: "decision 0008",
                failure: "a job is restored over other data, or can't be tuned without losing its state",
                needs: $needs,
                run: |lab| once(lab, $kind, identity),
            },
            Check {
                name: concat!("factory::", $end, "::check_finds_what_is_out_of_reach_and_changes_nothing"),
                rules: &["K-6", "F-1"],
                source: "Kafka Connect's validate",
                failure: "a check says that a pipeline will start which can't, or it leaves traces",
                needs: $needs,
                run: |lab| checked(lab, $kind),
            },
        ]
    };
}

pub(super) fn checks<C: FactorySubject>() -> Vec<Check<C>> {
    let mut all = end!("source", Kind::Source, &[Capability::SourceFactory]);
    all.extend(end!("sink", Kind::Sink, &[Capability::SinkFactory]));
    all.push(Check {
        name: "factory::secrets_are_never_shown_and_never_stored",
        rules: &["F-1", "S-5"],
        source: "KIP-297; Flink's GlobalConfiguration.hideSecrets",
        failure: "a password stands in a log, in an error, or in a checkpoint",
        needs: &[Capability::Secrets],
        run: secrets,
    });
    all
}

/// What a check looks at: one end, in a world.
type Look<C> = fn(&End<<C as FactorySubject>::Batch>, &Subject<C>) -> Verdict;

fn once<C: FactorySubject>(lab: &Lab<C>, kind: Kind, look: Look<C>) -> Verdict {
    lab.once(async |subject| match End::of(&subject.context, kind) {
        Some(end) => look(&end, subject),
        None => Ok(()),
    })
}

/// The option that an error names.
fn named(error: &Error) -> Option<&str> {
    if let Error::Config { option, .. } = error { Some(option) } else { None }
}

/// These options must be refused, naming this one.
fn refused<C: FactorySubject>(
    end: &End<C::Batch>,
    subject: &Subject<C>,
    rule: &'static str,
    values: &super::Values,
    name: &str,
) -> Verdict {
    match end.create(values, &subject.env()) {
        Ok(_) => Err(Broken::new(rule, format!("accepts options in which `{name}` is wrong"))),
        Err(error) if named(&error) == Some(&format!("{PREFIX}.{name}")) => Ok(()),
        Err(error) => {
            Err(Broken::new(rule, format!("does not name the option `{PREFIX}.{name}`, but says: {error}")))
        }
    }
}

fn documented<C: FactorySubject>(end: &End<C::Batch>, subject: &Subject<C>) -> Verdict {
    let accepted = end.create(&end.example.options, &subject.env());
    accepted.map_err(Broken::by("K-1", "the options of the example are refused"))?;
    let names: BTreeSet<&str> = end.set.0.iter().map(|spec| spec.name.as_str()).collect();
    ensure!("K-1", names.len() == end.set.0.len(), "an option is listed twice");
    for spec in &end.set.0 {
        ensure!("K-1", !spec.doc.trim().is_empty(), "option `{}` does not say what it does", spec.name);
        ensure!("K-1", !spec.kind.is_empty(), "option `{}` does not say what it takes", spec.name);
        let both = spec.required && spec.default.is_some();
        ensure!("K-1", !both, "option `{}` is required and has a default", spec.name);
    }
    for name in end.example.options.keys() {
        ensure!("K-1", names.contains(name.as_str()), "option `{name}` is taken and not listed");
    }
    Ok(())
}

fn defaults<C: FactorySubject>(end: &End<C::Batch>, subject: &Subject<C>) -> Verdict {
    for spec in &end.set.0 {
        let Some(default) = &spec.default else { continue };
        // An option inside a table that is not there has company that is required.
        let table = spec.name.rsplit_once('.').map(|(table, _)| table);
        if table.is_some_and(|table| !end.has_table(table)) {
            continue;
        }
        let value = serde_json::from_str(default).unwrap_or_else(|_| Value::String(default.clone()));
        let values = set(&end.example.options, &spec.name, value);
        let taken = end.create(&values, &subject.env()).map(drop);
        taken.map_err(Broken::by("K-1", &format!("`{}` = {default}, its default, is refused", spec.name)))?;
    }
    Ok(())
}

fn missing<C: FactorySubject>(end: &End<C::Batch>, subject: &Subject<C>) -> Verdict {
    for spec in end.set.0.iter().filter(|spec| spec.required) {
        let table = spec.name.rsplit_once('.').map(|(table, _)| table);
        if table.is_none_or(|table| end.has_table(table)) {
            let values = without(&end.example.options, &spec.name);
            refused(end, subject, "K-2", &values, &spec.name)?;
        }
    }
    Ok(())
}

fn unknown<C: FactorySubject>(end: &End<C::Batch>, subject: &Subject<C>) -> Verdict {
    let tables = end.set.0.iter().map(|spec| spec.name.as_str()).filter(|name| end.has_table(name));
    let paths = tables.map(|table| format!("{table}.no_such_option"));
    for path in paths.chain(["no_such_option".to_owned()]) {
        let values = set(&end.example.options, &path, json!(1));
        refused(end, subject, "K-2", &values, &path)?;
    }
    Ok(())
}

fn wrong_type<C: FactorySubject>(end: &End<C::Batch>, subject: &Subject<C>) -> Verdict {
    for spec in end.set.0.iter().filter(|spec| spec.kind != "value") {
        let wrong = if spec.kind.contains("boolean") { json!("neither") } else { json!(true) };
        let values = set(&end.example.options, &spec.name, wrong);
        refused(end, subject, "K-3", &values, &spec.name)?;
    }
    Ok(())
}

fn create<C: FactorySubject>(end: &End<C::Batch>, subject: &Subject<C>) -> Verdict {
    let meter = subject.around.meter();
    let before = meter.file_system_calls();
    let created = end.create(&end.example.options, &subject.env());
    let calls = meter.file_system_calls() - before;
    ensure!("K-4", calls == 0, "`create` calls the file system, {calls} times");
    ensure!("K-4", meter.tasks().is_empty(), "`create` starts tasks: {:?}", meter.tasks());
    created.map(drop).map_err(Broken::by("K-4", "creating without the system being there"))
}

fn identity<C: FactorySubject>(end: &End<C::Batch>, _: &Subject<C>) -> Verdict {
    let identity = |changes| end.set.identity(&options(&end.with(changes)));
    let example = &end.example;
    let here = end.set.identity(&options(&example.options));
    let (elsewhere, tuned) = (&example.elsewhere, &example.tuned);
    ensure!("K-5", identity(elsewhere) != here, "other data ({elsewhere:?}) has the same identity {here:?}");
    ensure!("K-5", identity(tuned) == here, "{tuned:?} concerns no data, and changes the identity");
    Ok(())
}

fn checked<C: FactorySubject>(lab: &Lab<C>, kind: Kind) -> Verdict {
    lab.once(async |subject| {
        let Some(end) = End::of(&subject.context, kind) else { return Ok(()) };
        let env = subject.env();
        let prepared = subject.context.prepare(&env).await;
        prepared.map_err(Broken::by("K-6", "preparing the system"))?;
        let changes = |subject: &Subject<C>| subject.around.fs().map(crate::fs::SimFs::operations);
        let before = changes(subject);
        let reached = end.check(&end.example.options, &env).await;
        reached.map_err(Broken::by("K-6", "checking what is there"))?;
        let unreachable = &end.example.unreachable;
        let found = end.check(&end.with(unreachable), &env).await;
        ensure!("K-6", found.is_err(), "a check accepts {unreachable:?}, which can't be reached");
        ensure!("K-6", changes(subject) == before, "a check changes files");
        let wrong = set(&end.example.options, "no_such_option", json!(1));
        let same = end.create(&wrong, &env).is_ok() || end.check(&wrong, &env).await.is_err();
        ensure!("K-6", same, "a check accepts options that `create` refuses");
        ensure!("K-6", subject.around.meter().tasks().is_empty(), "a check leaves tasks behind");
        Ok(())
    })
}

/// A text and a number that nothing else contains.
const SECRET: &str = "hunter2-9b1d";
const NUMBER: u64 = 73_317_331;

fn secrets<C: FactorySubject>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let env = subject.env();
        let prepared = subject.context.prepare(&env).await;
        prepared.map_err(Broken::by("F-1", "preparing the system"))?;
        for kind in [Kind::Source, Kind::Sink] {
            let Some(end) = End::of(&subject.context, kind) else { continue };
            for spec in end.secrets() {
                let shows = |text: &str| text.contains(SECRET) || text.contains(&NUMBER.to_string());
                let given = |values: &super::Values| set(values, &spec.name, json!(SECRET));
                let right = given(&end.example.options);
                let shown = |error: &Error| format!("{error} {error:?}");
                let mut said = vec![match end.create(&right, &env) {
                    Ok(debug) => debug,
                    Err(error) => shown(&error),
                }];
                let refused = [
                    set(&right, "no_such_option", json!(1)),
                    set(&right, &spec.name, json!(NUMBER)),
                    end.with(&end.example.unreachable),
                ];
                for values in &refused {
                    said.extend(end.create(values, &env).err().as_ref().map(shown));
                }
                for values in [&right, &given(&end.with(&end.example.unreachable))] {
                    said.extend(end.check(values, &env).await.err().as_ref().map(shown));
                }
                if let Some(text) = said.iter().find(|text| shows(text)) {
                    // The text is not repeated: that would show it once more.
                    let what =
                        format!("the secret `{}` is shown, in {} characters of text", spec.name, text.len());
                    return Err(Broken::new("F-1", what));
                }
                let identity = format!("{:?}", end.set.identity(&options(&right)));
                ensure!("S-5", !shows(&identity), "the secret `{}` is part of the identity", spec.name);
            }
        }
        Ok(())
    })
}
