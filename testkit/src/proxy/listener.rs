//! The thread that accepts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Counts;
use super::connection;
use super::weather::Weather;

/// Listen, or don't.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) accept: bool,
    pub(super) answer: std::sync::mpsc::Sender<io::Result<()>>,
}

/// Starts the thread; it ends when no order can come any more.
pub(super) fn start(
    weather: watch::Receiver<Weather>,
    orders: mpsc::UnboundedReceiver<Order>,
    counts: Arc<Counts>,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Bound for the proxy's life and never listened on: while new connections are refused, nobody else gets the port.
    let place = {
        let _inside = runtime.enter();
        let place = TcpSocket::new_v4()?;
        place.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        place.set_reuseaddr(true)?;
        place
    };
    let address = place.local_addr()?;
    let first = {
        let _inside = runtime.enter();
        open(address)?
    };
    let thread = std::thread::Builder::new().name("testkit-proxy".to_owned()).spawn(move || {
        runtime.block_on(run(first, address, weather, orders, counts));
        drop(place);
    })?;
    Ok((address, thread))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn run(
    first: TcpListener,
    address: SocketAddr,
    weather: watch::Receiver<Weather>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    counts: Arc<Counts>,
) {
    let mut listener = Some(first);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(Order { accept, answer }) = order else { break };
                let done = match (accept, &listener) {
                    (true, None) => open(address).map(|opened| listener = Some(opened)),
                    (true, Some(_)) => Ok(()),
                    (false, _) => {
                        drop(listener.take());
                        Ok(())
                    }
                };
                // Whoever gave the order may have stopped waiting.
                let _ = answer.send(done);
            }
            accepted = accept(listener.as_ref()) => {
                let Some(client) = accepted else { continue };
                let number = counts.accepted.fetch_add(1, Ordering::SeqCst);
                counts.open.fetch_add(1, Ordering::SeqCst);
                connections.spawn(connection::serve(number, client, weather.clone(), counts.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// The next client; none where accepting failed (a client that was gone again).
async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}
