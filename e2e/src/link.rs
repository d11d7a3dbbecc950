//! A TCP connection's way through us, which a test can cut or stall: a network partition between two processes that both live.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections from an address of its own to another one, unless it is cut.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
}

/// What becomes of what goes through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Connections are closed.
    Cut,
    /// Connections stay, and nothing gets through: as when a network loses every packet.
    Stalled,
}

impl Link {
    /// An open link to `target`. It ends with the test's runtime.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("loopback can be listened on");
        let address = listener.local_addr().expect("a listener has an address");
        let (sender, state) = watch::channel(State::Open);
        tokio::spawn(forward(listener, target, state));
        Self { address, state: sender }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes what goes through it, and closes new connections at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Keeps what goes through it open and lets nothing through, and closes new connections at once.
    pub fn stall(&self) {
        self.state.send_replace(State::Stalled);
    }

    /// Lets connections through again. What was stalled is closed.
    pub fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn forward(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut state = state.clone();
        if *state.borrow_and_update() != State::Open {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(target).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = state.wait_for(|state| *state != State::Open) => {}
            }
            let _ = state.wait_for(|state| *state != State::Stalled).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_cut_link_closes_what_went_through_it_and_a_mended_one_lets_through() {
        let target = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let link = Link::to(target.local_addr().unwrap()).await;
        let mut near = TcpStream::connect(link.address()).await.unwrap();
        let (mut far, _) = target.accept().await.unwrap();
        near.write_all(b"through").await.unwrap();
        let mut text = [0; 7];
        far.read_exact(&mut text).await.unwrap();
        link.cut();
        assert_eq!(far.read(&mut text).await.unwrap(), 0);
        let mut refused = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(refused.read(&mut text).await.unwrap_or(0), 0);
        link.mend();
        let _near = TcpStream::connect(link.address()).await.unwrap();
        target.accept().await.unwrap();
    }
}
