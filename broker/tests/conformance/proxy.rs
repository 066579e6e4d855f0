//! A proxy in front of the broker whose connections can be cut. It makes clients stay with it by writing its own port
//! over the broker's in every response that names the broker's address.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};

use crate::site::Site;

pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub fn before(site: &Site) -> Self {
        let broker = site.bootstrap.to_socket_addrs().unwrap().next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let held = Arc::clone(&connections);
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let Ok(upstream) = TcpStream::connect(broker) else { continue };
                held.lock().unwrap().extend([client.try_clone().unwrap(), upstream.try_clone().unwrap()]);
                let (from_client, to_broker) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || copy_requests(from_client, to_broker));
                std::thread::spawn(move || copy_responses(upstream, client, broker.port(), address.port()));
            }
        });
        Self { address, connections }
    }

    pub fn site(&self) -> Site {
        Site { bootstrap: self.address.to_string() }
    }

    /// Cuts every connection now, and returns how many there were.
    pub fn cut(&self) -> usize {
        let cut: Vec<TcpStream> = self.connections.lock().unwrap().drain(..).collect();
        cut.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        cut.len() / 2
    }
}

fn copy_requests(mut client: TcpStream, mut broker: TcpStream) {
    let _ = std::io::copy(&mut client, &mut broker);
    let _ = broker.shutdown(Shutdown::Both);
}

fn copy_responses(mut broker: TcpStream, mut client: TcpStream, broker_port: u16, proxy_port: u16) {
    let _ = (|| -> std::io::Result<()> {
        loop {
            let mut length = [0; 4];
            broker.read_exact(&mut length)?;
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            broker.read_exact(&mut frame)?;
            replace_port(&mut frame, broker_port, proxy_port);
            client.write_all(&length)?;
            client.write_all(&frame)?;
        }
    })();
    let _ = client.shutdown(Shutdown::Both);
}

/// The protocol writes an address as its host's text followed by the port in four bytes.
fn replace_port(frame: &mut [u8], from: u16, to: u16) {
    for host in ["127.0.0.1", "localhost"] {
        let named = [host.as_bytes(), &u32::from(from).to_be_bytes()].concat();
        let replacement = [host.as_bytes(), &u32::from(to).to_be_bytes()].concat();
        for start in 0..frame.len().saturating_sub(named.len() - 1) {
            if frame[start..].starts_with(&named) {
                frame[start..start + named.len()].copy_from_slice(&replacement);
            }
        }
    }
}
