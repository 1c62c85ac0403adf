//! The host's process: this program again, told by lines on its standard input what to do. Those that
//! change the world around it have no answer. Each other one is answered by a line on standard output that
//! begins with "= ", once the host is idle: the code; the packets that it has sent since the answer
//! before; who is on the interfaces now; and whether its entries are others than at the answer before.

use super::{SIZES, VARIABLE};
use crate::model::net::{INTERFACES, Routes};
use crate::model::words::Sent;
use mgm::core::state::record::Rest;
use mgm::forwarder::memory::MemoryConfig;
use mgm::remote::server::{Proxy, Server};
use mgm::shell::manager::Mgm;
use mgm::shell::service::Service;
use mgm::shell::settings::{ForwarderChoice, Settings};
use mgm::types::{IfKey, Millis, Route, SourceGroup};
use std::fmt::Write as _;
use std::io::BufRead;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// What the world around the host is.
#[derive(Default)]
struct Around {
    routes: Mutex<Routes>,
    /// Milliseconds.
    now: AtomicU64,
    sent: Mutex<Vec<Sent>>,
    /// Its entries at the answer before.
    entries: Mutex<String>,
}

/// Where this is the host's process, it is one until its input ends.
pub fn run_if_asked() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let mgm: &'static Mgm<Proxy> = Box::leak(Box::new(Mgm::with_service(Some(|mgm, settings| {
        Ok(Box::new(Server::start_in_turns(mgm, settings, SIZES)?) as Box<dyn Service>)
    }))));
    let around = Arc::new(Around::default());
    println!(); // after what the test runner has begun to say
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        if !around.is_changed_by(&words) {
            println!("= {}", answer(mgm, &around, &words));
        }
    }
    std::process::exit(0);
}

impl Around {
    /// Where a line says so, the world is another one now.
    fn is_changed_by(&self, words: &[&str]) -> bool {
        match words {
            ["route", network, len, to @ ..] => {
                let to = (!to.is_empty()).then(|| interface(to));
                let (network, len) = (network.parse().unwrap(), len.parse().unwrap());
                self.routes.lock().unwrap().set(network, len, to);
            }
            ["clock", now] => self.now.store(now.parse().unwrap(), SeqCst),
            _ => return false,
        }
        true
    }
}

fn interface(words: &[&str]) -> IfKey {
    IfKey::new(words[0].parse().unwrap(), words[1].parse().unwrap())
}

/// Does what a line says, waits until all that was caused is done, and says what is to be seen then.
fn answer(mgm: &'static Mgm<Proxy>, around: &Arc<Around>, words: &[&str]) -> String {
    let number = |at: usize| words[at].parse::<u32>().unwrap();
    let address = |at: usize| words[at].parse::<Ipv4Addr>().unwrap();
    let code = match words[0] {
        "start" => {
            let serve = words[1].into();
            let limits = [2, 3, 4, 6].map(number);
            *around.routes.lock().unwrap() = Routes::default();
            around.now.store(1_000_000, SeqCst);
            mgm.start(settings(around, serve, limits, words[5] == "true")).unwrap();
            Ok(())
        }
        "stop" => mgm.stop(),
        "packet" => {
            let octets = words[3].as_bytes().chunks(2);
            let octets = octets.map(|two| std::str::from_utf8(two).unwrap());
            let packet: Vec<u8> = octets.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
            mgm.receive(interface(&words[1..]), &packet)
        }
        "changed" => mgm.routes_changed(address(1), number(2) as u8),
        "down" => mgm.interface_down(interface(&words[1..])),
        "settle" => Ok(()),
        other => panic!("{other}?"),
    };
    let code = code.map_or_else(|error| error.code(), |()| 0);
    // What nobody waits for (a dispatch, the time) may still be on its way to others.
    while !mgm.is_idle() {
        std::thread::yield_now();
    }
    let sent = std::mem::take(&mut *around.sent.lock().unwrap());
    let line = |s: &Sent| {
        let (on, flow) = (s.on, s.flow);
        let (index, hop) = (on.index, on.next_hop);
        format!("{index} {hop} {} {} {}", flow.source(), flow.group(), s.ttl)
    };
    let sent = sent.iter().map(line).collect::<Vec<_>>().join(",");
    let entries = entries(mgm);
    let before = std::mem::replace(&mut *around.entries.lock().unwrap(), entries.clone());
    format!("{code};{sent};{};{}", owners(mgm), entries != before)
}

/// All that is to be known of its entries.
fn entries(mgm: &'static Mgm<Proxy>) -> String {
    let mut text = String::new();
    let read = mgm.read_mfes(None, true, &mut |_| true, &mut |record| {
        write!(text, "{record:?}").unwrap();
        ControlFlow::Continue(())
    });
    assert_eq!(read.unwrap(), Rest::End);
    text
}

/// Who is on each of the tests' interfaces.
fn owners(mgm: &'static Mgm<Proxy>) -> String {
    let owner = |on: &IfKey| match mgm.protocol_on_interface(*on) {
        Ok((protocol, component)) => format!("{protocol} {component}"),
        Err(error) => error.code().to_string(),
    };
    INTERFACES.iter().map(owner).collect::<Vec<_>>().join(",")
}

fn settings(
    around: &Arc<Around>,
    serve: std::path::PathBuf,
    [max_mfes, max_new, max_new_of_source, portion]: [u32; 4],
    null_route: bool,
) -> Settings {
    let here = Arc::clone(around);
    let find = move |source: Ipv4Addr, _: Option<IfKey>| {
        here.routes.lock().unwrap().find(source).map(|r| Route {
            interface: r.to,
            upstream: r.upstream,
            protocol: r.protocol,
            network: r.network,
            prefix_len: r.len,
        })
    };
    let here = Arc::clone(around);
    let transmit = move |out_of: &[IfKey], bytes: &[u8]| {
        let address =
            |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
        let flow = SourceGroup::new(address(12), address(16));
        let sent = |on: &IfKey| Sent { on: *on, flow, ttl: bytes[8], after: 0 };
        here.sent.lock().unwrap().extend(out_of.iter().map(sent));
    };
    let mut memory = MemoryConfig { route: None, transmit: Some(Box::new(transmit)) };
    if !null_route {
        memory.route = Some(Box::new(find));
    }
    let here = Arc::clone(around);
    Settings {
        max_mfes,
        max_new_mfes_per_second: max_new,
        max_new_mfes_per_source: max_new_of_source,
        log_level: mgm::log::Level::Off,
        clock: Some(Arc::new(move || Millis(here.now.load(SeqCst)))),
        forwarder: ForwarderChoice::Memory(memory),
        serve: Some(serve),
        portion: portion as usize,
        ..Settings::default()
    }
}
