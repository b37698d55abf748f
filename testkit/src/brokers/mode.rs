//! Processes or containers: one environment variable decides.

use super::Missing;

/// How systems are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Child processes of the test.
    Process,
    /// Containers, through the engine that `DOCKER_HOST` names.
    Container,
}

impl Mode {
    /// What `TESTKIT_BROKERS` asks for: `process`, `container`, or nothing, which is `process`.
    ///
    /// # Errors
    ///
    /// Another word; or `container` where testkit was built without its feature `containers`.
    pub fn from_env() -> Result<Self, Missing> {
        Self::parse(std::env::var("TESTKIT_BROKERS").unwrap_or_default().trim())
    }

    fn parse(word: &str) -> Result<Self, Missing> {
        match word {
            "" | "process" => Ok(Self::Process),
            "container" if cfg!(feature = "containers") => Ok(Self::Container),
            "container" => Err(Missing::new(
                "TESTKIT_BROKERS=container",
                "testkit was built without containers",
                "add the feature `containers` of testkit",
            )),
            other => Err(Missing::new(
                &format!("TESTKIT_BROKERS={other}"),
                "it is neither `process` nor `container`",
                "set one of them",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_mode_is_refused_and_not_taken_for_the_default() {
        assert_eq!(Mode::parse(""), Ok(Mode::Process));
        assert_eq!(Mode::parse("process"), Ok(Mode::Process));
        assert!(Mode::parse("containers").unwrap_err().to_string().contains("neither"));
    }
}
