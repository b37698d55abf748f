//! Finding the JVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Missing;
use super::recipe::Recipe;

/// The oldest Java that the systems run on.
const OLDEST: u32 = 17;
const REMEDY: &str = "Debian: apt-get install default-jre-headless";

/// A JVM that is new enough.
#[derive(Clone, Debug)]
pub(crate) struct Jvm {
    pub(crate) program: PathBuf,
    /// All that `java -version` says: archives of classes fit one build of the JVM only.
    pub(crate) version: String,
}

impl Jvm {
    /// The `java` of the PATH.
    pub(crate) fn find(recipe: &dyn Recipe) -> Result<Self, Missing> {
        let missing = |what: String| Missing::new(recipe.name(), &what, REMEDY);
        let program =
            on_path("java").ok_or_else(|| missing(format!("java ({OLDEST} or later) is not on the PATH")))?;
        let output = Command::new(&program)
            .arg("-version")
            .output()
            .map_err(|e| missing(format!("{} doesn't run: {e}", program.display())))?;
        let version = String::from_utf8_lossy(&output.stderr).into_owned();
        match major(&version) {
            Some(major) if major >= OLDEST => Ok(Self { program, version }),
            Some(major) => Err(missing(format!("java is version {major}, {OLDEST} or later is needed"))),
            None => Err(missing(format!("`java -version` says `{}`", version.lines().next().unwrap_or("")))),
        }
    }
}

/// A program of the PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// The number in `openjdk version "17.0.15" 2025-04-15`; what came before 9 called itself 1.8.
fn major(version: &str) -> Option<u32> {
    let line = version.lines().find(|line| line.contains(" version \""))?;
    let mut numbers = line.split('"').nth(1)?.split(['.', '-', '+']);
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_java_is_read_from_what_it_says() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(major("Picked up JAVA_TOOL_OPTIONS: -X\nopenjdk version \"22\" 2024"), Some(22));
        assert_eq!(major("java version \"1.8.0_402\""), Some(8));
        assert_eq!(major("openjdk version \"25-ea\" 2025"), Some(25));
        assert_eq!(major("command not found"), None);
    }
}
