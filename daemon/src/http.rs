//! The metrics over HTTP: for `mgmd --metrics`.
//!
//! Each request asks the host over its own control socket, so that nothing here can hold up the group
//! manager. Whoever connects may be anybody: what they send and how long they take is bounded.

use crate::control;
use crate::metrics::{self, Form};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// Connections at one time; more are closed at once.
const MOST: usize = 8;
/// How long one may take for its request, and for reading the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest request.
const LONGEST: usize = 8 << 10;
/// How long to wait where accepting failed: for want of descriptors it would fail again at once.
const PAUSE: Duration = Duration::from_secs(1);

/// An address to listen on: a port alone is one of the loopback interface.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| {
        format!("--metrics {text}: allowed are a port of the loopback interface (9760), and an address with a port (127.0.0.1:9760, [::1]:9760)")
    })
}

/// A socket that listens there.
pub fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).map_err(|error| format!("--metrics {address}: {error}"))
}

/// Serves the metrics of the host at a control socket, on threads of its own, for as long as the
/// process lives.
pub fn serve(listener: TcpListener, control: PathBuf) -> io::Result<()> {
    let accept = move || {
        let (control, busy) = (Arc::new(control), Arc::new(AtomicUsize::new(0)));
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                thread::sleep(PAUSE);
                continue;
            };
            if busy.fetch_add(1, SeqCst) >= MOST {
                busy.fetch_sub(1, SeqCst);
                continue;
            }
            let (control, done) = (Arc::clone(&control), Arc::clone(&busy));
            let spawned = thread::Builder::new().name("mgmd-scrape".into()).spawn(move || {
                // A client that goes away is no concern of ours.
                let _ = answer(&stream, &control);
                done.fetch_sub(1, SeqCst);
            });
            if spawned.is_err() {
                busy.fetch_sub(1, SeqCst);
            }
        }
    };
    thread::Builder::new().name("mgmd-metrics".into()).spawn(accept).map(drop)
}

fn answer(mut stream: &TcpStream, control: &std::path::Path) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut room = [0; LONGEST];
    let mut length = 0;
    let end = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let read = stream.read(&mut room[length..])?;
        length += read;
        if let Some(end) = room[..length].windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if left.is_zero() || read == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        if length == room.len() {
            return reply(
                stream,
                "431 Request Header Fields Too Large",
                "text/plain",
                "too long\n",
                false,
            );
        }
    };
    let request = String::from_utf8_lossy(&room[..end]);
    let mut line = request.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
    let head = method == "HEAD";
    if !head && method != "GET" {
        return reply(
            stream,
            "405 Method Not Allowed",
            "text/plain",
            "GET alone is served\n",
            false,
        );
    }
    if path.split('?').next() != Some("/metrics") {
        return reply(stream, "404 Not Found", "text/plain", "the metrics are at /metrics\n", head);
    }
    let accepts = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("accept") && value.contains("application/openmetrics-text")
    };
    let form = if request.lines().any(accepts) { Form::OpenMetrics } else { Form::Prometheus };
    match control::summary(control) {
        Ok(summary) => {
            let text = metrics::text(&summary, form);
            reply(stream, "200 OK", form.content_type(), &text, head)
        }
        Err(error) => {
            reply(stream, "503 Service Unavailable", "text/plain", &format!("{error}\n"), head)
        }
    }
}

fn reply(
    mut stream: &TcpStream,
    status: &str,
    kind: &str,
    text: &str,
    head: bool,
) -> io::Result<()> {
    let length = text.len();
    let head_text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head_text.as_bytes())?;
    if head { Ok(()) } else { stream.write_all(text.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_the_loopback_interface_s() {
        for (text, expected) in [
            ("9760", "127.0.0.1:9760"),
            (":9760", "127.0.0.1:9760"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9760", "[::1]:9760"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for bad in ["", "localhost:9760", "10.0.0.1", "99999", "127.0.0.1:"] {
            assert!(address(bad).unwrap_err().contains("9760"), "{bad}");
        }
    }
}
