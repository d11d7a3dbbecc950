//! A TCP connection's way through us, which a test can cut: a network partition between two processes that both live.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections from an address of its own to another one, unless it is cut.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    open: watch::Sender<bool>,
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
        let (open, state) = watch::channel(true);
        tokio::spawn(forward(listener, target, state));
        Self { address, open }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes what goes through it, and closes new connections at once.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

async fn forward(listener: TcpListener, target: SocketAddr, state: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut state = state.clone();
        if !*state.borrow_and_update() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(target).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = state.wait_for(|open| !open) => {}
            }
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
