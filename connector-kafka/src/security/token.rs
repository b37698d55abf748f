//! Tokens that nobody signed, for clusters of tests: made as librdkafka makes them of `sasl.oauthbearer.config`.

/// The longest life of a token, in seconds: as long as sessions are at most (milliseconds in 32 bits).
const LONGEST_LIFE: u64 = 2_147_483;

/// What an unsecured token claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnsecuredToken {
    pub(crate) principal_claim: String,
    pub(crate) principal: String,
    pub(crate) scope_claim: String,
    pub(crate) scope: Vec<String>,
    pub(crate) life_seconds: u64,
    /// What goes with the token (RFC 7628, section 3.1).
    pub(crate) extensions: Vec<(String, String)>,
}

impl UnsecuredToken {
    /// Reads `name=value` pairs with spaces between them.
    ///
    /// # Errors
    ///
    /// What is wrong, in words that follow the property's name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut this = Self {
            principal_claim: "sub".to_owned(),
            principal: String::new(),
            scope_claim: "scope".to_owned(),
            scope: Vec::new(),
            life_seconds: 3_600,
            extensions: Vec::new(),
        };
        for pair in text.split(' ').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or("holds something that is no NAME=VALUE")?;
            // They would end the claim, or the message, that they stand in.
            if value.is_empty() || value.chars().any(|c| c == '"' || c == '\\' || c.is_control()) {
                return Err(format!(
                    "has a value of {name} that is empty, or holds a quote, a backslash or a control character"
                ));
            }
            match name {
                "principalClaimName" => this.principal_claim = value.to_owned(),
                "principal" => this.principal = value.to_owned(),
                "scopeClaimName" => this.scope_claim = value.to_owned(),
                "scope" => this.scope = value.split(',').map(str::to_owned).collect(),
                "lifeSeconds" => {
                    let life = value.parse().ok().filter(|life| (1..=LONGEST_LIFE).contains(life));
                    this.life_seconds = life
                        .ok_or_else(|| format!("has lifeSeconds that is no number of 1 to {LONGEST_LIFE}"))?;
                }
                _ => match name.strip_prefix("extension_") {
                    Some(extension) => this.extensions.push((extension.to_owned(), value.to_owned())),
                    None => {
                        return Err(format!(
                            "knows no {name}: there are principal, principalClaimName, scope, scopeClaimName, lifeSeconds and \
                             extension_NAME"
                        ));
                    }
                },
            }
        }
        if this.principal.is_empty() { Err("names no principal=NAME".to_owned()) } else { Ok(this) }
    }

    /// The token (RFC 7515, appendix A.5), for a moment of the clock.
    #[cfg(feature = "tls")]
    pub(crate) fn token(&self, now_millis: i64) -> String {
        use base64::Engine;
        let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let issued = now_millis / 1_000;
        let expires = issued.saturating_add(i64::try_from(self.life_seconds).unwrap_or(i64::MAX));
        let scope: Vec<_> = self.scope.iter().map(|scope| format!("\"{scope}\"")).collect();
        let scope = if scope.is_empty() {
            String::new()
        } else {
            format!(",\"{}\":[{}]", self.scope_claim, scope.join(","))
        };
        let claims = format!(
            "{{\"{}\":\"{}\",\"iat\":{issued},\"exp\":{expires}{scope}}}",
            self.principal_claim, self.principal
        );
        format!("{}.{}.", base64.encode("{\"alg\":\"none\"}"), base64.encode(claims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_librdkafka_refuses_is_refused() {
        for text in [
            "",
            "principal",
            "scope=a",
            "principal=a\"b",
            "principal=",
            "principal=a x=y",
            "principal=a lifeSeconds=0",
        ] {
            assert!(UnsecuredToken::parse(text).is_err(), "{text}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_token_is_a_jwt_without_a_signature() {
        use base64::Engine;
        let token = UnsecuredToken::parse("principal=ada scope=r,w lifeSeconds=60").unwrap().token(1_000_999);
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!((parts.len(), parts[0], parts[2]), (3, "eyJhbGciOiJub25lIn0", ""));
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        assert_eq!(claims, br#"{"sub":"ada","iat":1000,"exp":1060,"scope":["r","w"]}"#);
    }
}
