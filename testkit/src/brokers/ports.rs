//! Ports that nobody else gets while we hold them, although we don't listen on them ourselves.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket_with, sockopt};

/// A port of 127.0.0.1 that is bound but not listened on.
///
/// The kernel gives it to nobody who asks for any free port, and a client that connects is refused; yet another socket with
/// `SO_REUSEADDR` (servers in Java, Go and Rust set it) may bind it too and listen. So a server can be killed and
/// started again on the same port without a moment in which the port is anybody's.
#[derive(Debug)]
pub(crate) struct Reserved {
    _socket: OwnedFd,
    address: SocketAddr,
}

impl Reserved {
    /// Reserves a port that is free now.
    pub(crate) fn any() -> io::Result<Self> {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, rustix::net::SocketFlags::CLOEXEC, None)?;
        // Only after the port is chosen: with the option set first, the kernel may choose a port that is shared.
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { _socket: socket, address })
    }

    /// Where a server may listen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_reserved_port_refuses_clients_until_a_server_listens_on_it() {
        let reserved = Reserved::any().unwrap();
        let refused = TcpStream::connect(reserved.address()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        for _restart in 0..2 {
            // Rust's listener sets SO_REUSEADDR, like the servers of other languages.
            let server = TcpListener::bind(reserved.address()).unwrap();
            TcpStream::connect(reserved.address()).unwrap();
            drop(server);
        }
    }

    #[test]
    fn a_reserved_port_is_given_to_nobody_who_asks_for_any() {
        let reserved = Reserved::any().unwrap();
        let others: Vec<_> = (0..500).map(|_| Reserved::any().unwrap()).collect();
        assert!(others.iter().all(|other| other.address() != reserved.address()));
    }
}
