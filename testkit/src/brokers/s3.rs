//! A server that speaks S3: moto, in Python.
//!
//! It keeps everything in memory: one that was killed comes back with an empty bucket, as a store does whose lifecycle rule ended
//! all uploads. Two things differ from moto as it comes, both in `s3.py`: completing an unknown upload is answered 404
//! `NoSuchUpload`, as S3 does it, and parts of uploads have no least size.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::recipe::{Image, Node, Program, Recipe, Software};

const VERSION: &str = "5.2.5";
const REQUIREMENTS: &[&str] = &["moto[s3,server]==5.2.5", "cheroot==11.1.2"];
const LAUNCHER: &str = include_str!("s3.py");
const PATIENCE: Duration = Duration::from_secs(10);

/// The recipe for a server that speaks S3, with one bucket.
#[derive(Clone, Copy, Debug, Default)]
pub struct S3;

impl S3 {
    /// The bucket that is there after each start, empty.
    pub const BUCKET: &'static str = "bucket";
    const HTTP: &'static str = "http";

    /// Makes one request without a body and gives the status and the body of its answer.
    ///
    /// # Errors
    ///
    /// When the server can't be reached or its answer is no HTTP.
    pub fn ask(address: SocketAddr, method: &str, target: &str) -> Result<(u16, String), String> {
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
            stream.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer: String = ask().map_err(|e: std::io::Error| format!("{method} {target}: {e}"))?;
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        match (status, answer.split_once("\r\n\r\n")) {
            (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
            _ => Err(format!("{method} {target}: the answer is no HTTP: {answer}")),
        }
    }

    /// The uploads below a prefix that are neither completed nor aborted, as id and key.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), and when the server refuses.
    pub fn uploads(address: SocketAddr, prefix: &str) -> Result<Vec<(String, String)>, String> {
        let (status, body) = Self::ask(address, "GET", &format!("/{}?uploads", Self::BUCKET))?;
        if status != 200 {
            return Err(format!("uploads are not listed: {status} {body}"));
        }
        let uploads = body.split("<Upload>").skip(1).map(|upload| {
            let of = |tag: &str| {
                let (_, rest) = upload.split_once(&format!("<{tag}>"))?;
                Some(rest.split_once(&format!("</{tag}>"))?.0.to_owned())
            };
            of("UploadId").zip(of("Key")).ok_or_else(|| format!("what is this upload? {upload}"))
        });
        let uploads: Vec<_> = uploads.collect::<Result<_, _>>()?;
        Ok(uploads.into_iter().filter(|(_, key)| key.starts_with(prefix)).collect())
    }
}

impl Recipe for S3 {
    fn name(&self) -> &'static str {
        "S3"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn software(&self) -> Software {
        Software::Packages { requirements: REQUIREMENTS }
    }

    fn ports(&self) -> &'static [&'static str] {
        &[Self::HTTP]
    }

    fn files(&self, _node: &Node) -> Vec<(&'static str, String)> {
        vec![("s3.py", LAUNCHER.to_owned())]
    }

    fn once(&self, _node: &Node) -> Vec<Program> {
        Vec::new()
    }

    fn main(&self, node: &Node) -> Program {
        Program::new("s3.py", [node.bind().to_string(), node.port(Self::HTTP).to_string()])
    }

    /// Makes the bucket, which may be there.
    fn ready(&self, address: SocketAddr) -> Result<(), String> {
        match Self::ask(address, "PUT", &format!("/{}", Self::BUCKET))? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("the bucket is not made: {status} {body}")),
        }
    }

    /// Without what `s3.py` changes.
    fn image(&self, node: &Node) -> Image {
        let environment =
            [("MOTO_PORT", node.port(Self::HTTP).to_string()), ("S3_UPLOAD_PART_MIN_SIZE", "1".to_owned())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Image { name: format!("motoserver/moto:{VERSION}"), environment }
    }
}
