//! `cargo xtask real-data`: files of others to Parquet and back by readers of others.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, python, shell};

/// Which files.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// TSV files with a header, without quotes and escapes, all with the same columns. Some are made up when none is given.
    files: Vec<PathBuf>,
}

/// Each file by itself would be a header too many: the directory is the input.
const PIPELINE: &str = r#"name = "real-data"
parallelism = 2
checkpoint = { interval = "500ms", dir = "ckpt" }

[source]
connector = "file"
path = "in"
format = "csv"
csv = { delimiter = "\t", quote = "" }

[convert]
schema = { SCHEMA }

[sink]
connector = "file"
path = "out"
format = "parquet"
suffix = ".parquet"
buckets = { time = "processing", pattern = "day=%Y-%m-%d" }
compaction = { checkpoints = 4, size = "32 MiB" }
"#;

/// Moves the files and compares.
pub(crate) fn run(arguments: &Arguments) -> Result {
    let programs = python::programs()?;
    let connect = shell::build_connect()?;
    let dir = shell::target_dir()?.join("real-data");
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let input = dir.join("in");
    std::fs::create_dir_all(&input).map_err(|e| format!("{}: {e}", input.display()))?;
    if arguments.files.is_empty() {
        made_up(&input)?;
    }
    for (index, file) in arguments.files.iter().enumerate() {
        let to = input.join(format!("{index}.tsv"));
        std::fs::copy(file, &to).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let files: Vec<PathBuf> = std::fs::read_dir(&input)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| format!("{}: {e}", input.display()))?;
    let columns = header(files.first().ok_or("there is no input")?)?;
    let schema: Vec<_> = columns.iter().map(|name| format!("{name:?} = \"string\"")).collect();
    shell::write_file(&dir.join("pipeline.toml"), PIPELINE.replace("SCHEMA", &schema.join(", ")))?;
    let mut command = Command::new(connect);
    command.args(["run", "pipeline.toml"]).current_dir(&dir);
    shell::run(command)?;
    let mut compare = Command::new(programs.join("python"));
    compare.arg(python::script("same.py")).arg(dir.join("out")).args(&files);
    shell::run(compare)?;
    std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))
}

fn header(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let first = text.lines().next().ok_or_else(|| format!("{} is empty", file.display()))?;
    Ok(first.split('\t').map(str::to_owned).collect())
}

/// What lists of packages look like, with what is hard in them: quotes, backslashes, empty values, other scripts.
fn made_up(dir: &Path) -> Result {
    let summaries = ["", "a \"quoted\" word", "back\\slash, comma", "Käse 包 пакет", "'", "\"", "  spaces  "];
    for file in 0..3 {
        let mut text = String::from("name\tversion\tdownloads a month\tsummary\n");
        for row in 0..20_000 {
            let summary = summaries[row % summaries.len()];
            text.push_str(&format!(
                "package-{file}-{}\t{}.{row}\t{}\t{summary}\n",
                row / 2,
                row % 7,
                row * 31
            ));
        }
        shell::write_file(&dir.join(format!("{file}.tsv")), text)?;
    }
    Ok(())
}
