//! What `connect` is compared with: JSON lines to Parquet by the same two libraries, with one thread for each part of the files.
//! It writes one file per input file, makes it durable, keeps no state and survives nothing.
//!
//! `bare_json_parquet INPUT OUTPUT THREADS`

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arrow_json::ReaderBuilder;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use benches::Result;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

fn main() -> ExitCode {
    benches::exit(run(&std::env::args().skip(1).collect::<Vec<_>>()))
}

fn schema() -> SchemaRef {
    let field = |name: &str, kind| Field::new(name, kind, true);
    Arc::new(Schema::new(vec![
        field("id", DataType::Int64),
        field("user", DataType::Utf8),
        field("amount", DataType::Float64),
        field("paid", DataType::Boolean),
        field("note", DataType::Utf8),
    ]))
}

fn run(arguments: &[String]) -> Result {
    let [input, output, threads] = arguments else {
        return Err("bare_json_parquet INPUT OUTPUT THREADS".into());
    };
    let threads = threads.parse::<usize>().map_err(|e| format!("{threads}: {e}"))?;
    fs::create_dir_all(output).map_err(|e| format!("{output}: {e}"))?;
    let mut files: Vec<PathBuf> = fs::read_dir(input)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| format!("{input}: {e}"))?;
    files.sort();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let own: Vec<_> = files.iter().skip(thread).step_by(threads).collect();
                scope.spawn(move || own.into_iter().try_for_each(|path| convert(path, Path::new(output))))
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })
}

fn convert(path: &Path, output: &Path) -> Result {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let file = File::open(path).map_err(|e| named(&e))?;
    let reader = ReaderBuilder::new(schema()).with_batch_size(8192);
    let reader = reader.build(BufReader::with_capacity(1 << 20, file)).map_err(|e| named(&e))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let to = File::create_new(output.join(format!("{name}.parquet"))).map_err(|e| named(&e))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(to, schema(), Some(properties)).map_err(|e| named(&e))?;
    for batch in reader {
        writer.write(&batch.map_err(|e| named(&e))?).map_err(|e| named(&e))?;
    }
    let to = writer.into_inner().map_err(|e| named(&e))?;
    to.sync_data().map_err(|e| named(&e))
}
