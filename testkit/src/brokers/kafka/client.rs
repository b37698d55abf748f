//! A client of a few calls, written by hand: a probe must not depend on the client library that is under test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{Request, Response};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const LONGEST: u32 = 16 << 20;

/// A connection to a Kafka broker that can ask for metadata and create topics; blocking, each answer within 5 s.
#[derive(Debug)]
pub struct KafkaClient {
    stream: TcpStream,
    correlation: i32,
}

/// What a broker says of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The advertised addresses, as `host:port`.
    pub brokers: Vec<String>,
    /// All topics but internal ones, with the numbers of their partitions.
    pub topics: Vec<(String, usize)>,
}

impl KafkaClient {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody accepts within 5 s.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Asks which calls the broker knows; gives how many (ApiVersions, version 0).
    ///
    /// # Errors
    ///
    /// No answer in time, or one that is no answer to this.
    pub fn api_versions(&mut self) -> io::Result<usize> {
        let answer = self.call(18, 0, |request| request)?;
        let mut answer = Response(&answer);
        refused(answer.i16()?, "ApiVersions")?;
        Ok(answer.array(|a| Ok((a.i16()?, a.i16()?, a.i16()?)))?.len())
    }

    /// Asks for brokers and topics (Metadata, version 1).
    ///
    /// # Errors
    ///
    /// No answer in time, or one that is no answer to this.
    pub fn metadata(&mut self) -> io::Result<Metadata> {
        // Null asks for all topics.
        let answer = self.call(3, 1, |request| request.i32(-1))?;
        let mut answer = Response(&answer);
        let brokers = answer.array(|a| {
            let _node = a.i32()?;
            let (host, port, _rack) = (a.string()?.unwrap_or_default(), a.i32()?, a.string()?);
            Ok(format!("{host}:{port}"))
        })?;
        let _controller = answer.i32()?;
        let topics = answer.array(|a| {
            let (_error, name, internal) = (a.i16()?, a.string()?.unwrap_or_default(), a.i8()? != 0);
            let partitions = a.array(|a| {
                let _error_index_leader = (a.i16()?, a.i32()?, a.i32()?);
                let _replicas_in_sync = (a.array(Response::i32)?, a.array(Response::i32)?);
                Ok(())
            })?;
            Ok((!internal).then_some((name, partitions.len())))
        })?;
        Ok(Metadata { brokers, topics: topics.into_iter().flatten().collect() })
    }

    /// Creates a topic with one replica (CreateTopics, version 2).
    ///
    /// # Errors
    ///
    /// No answer in time, or the broker refuses: the error names its code.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> io::Result<()> {
        let answer = self.call(19, 2, |request| {
            let topic = request.i32(1).string(name).i32(partitions).i16(1);
            let (assignments, configs, milliseconds, only_validate) = (0, 0, 4_000, 0);
            topic.i32(assignments).i32(configs).i32(milliseconds).i8(only_validate)
        })?;
        let mut answer = Response(&answer);
        let _throttled = answer.i32()?;
        for (code, message) in answer.array(|a| {
            let _name = a.string()?;
            Ok((a.i16()?, a.string()?.unwrap_or_default()))
        })? {
            refused(code, &format!("CreateTopics of {name}: {message}"))?;
        }
        Ok(())
    }

    fn call(&mut self, api: i16, version: i16, body: impl FnOnce(Request) -> Request) -> io::Result<Vec<u8>> {
        self.correlation += 1;
        self.stream.write_all(&body(Request::new(api, version, self.correlation)).framed())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("an answer of {length} bytes")));
        }
        let mut answer = vec![0; length as usize];
        self.stream.read_exact(&mut answer)?;
        let mut header = Response(&answer);
        if header.i32()? != self.correlation {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another request"));
        }
        Ok(header.0.to_vec())
    }
}

fn refused(code: i16, what: &str) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::other(format!("{what} (error code {code})"))) }
}
