//! Servers for tests: in this process, or others' programs.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use axum::Router;

use crate::pod::until;

/// Serves from a thread of its own until the test's process ends.
pub(crate) fn serve(router: Router) -> SocketAddr {
    on_a_thread(|listener| async move { axum::serve(listener, router).await })
}

/// Serves, in whatever way, on a port of its own.
pub(crate) fn on_a_thread<F: Future<Output = std::io::Result<()>>>(
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { serve(tokio::net::TcpListener::from_std(listener).unwrap()).await })
    });
    address
}

/// A program that serves. It does not outlive its test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it, with words that have to have its address in them: it does not say which port it has where it may choose.
    pub(crate) fn start(program: PathBuf, words: impl FnOnce(&mut Command, SocketAddr)) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(program);
        words(&mut command, address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { child: command.spawn().unwrap(), address };
        until("the server", || TcpStream::connect(address).is_ok());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
