//! Tests in network namespaces of their own.
//!
//! A test made with `netns_tests!` runs itself again in a child process inside a new network
//! namespace: as root, and as an ordinary user with a user namespace of its own. Devices
//! are veth pairs with both ends in that namespace: frames written to a peer end with a packet
//! socket come in on the other end as from outside, and what leaves there is read on the peer.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod meddler;
pub mod recorder;
#[path = "../common/run.rs"]
pub mod running;

use std::ffi::CString;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long anything awaited may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

const INSIDE: &str = "MGM_TEST_IN_NAMESPACE";

/// Makes tests that run in network namespaces of their own, one for each kind of user at the same time.
#[macro_export]
macro_rules! netns_tests {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            let users = $crate::netns::users();
            $crate::netns::in_namespace(users, module_path!(), stringify!($name), || $body);
        }
    )*};
}

/// The same for bounds that are measured at length: as the kind of user alone that may do least.
#[macro_export]
macro_rules! netns_measurements {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            let users = $crate::netns::users();
            let least = &users[users.len() - 1..];
            $crate::netns::in_namespace(least, module_path!(), stringify!($name), || $body);
        }
    )*};
}

/// Runs `body` in a new network namespace for each of these kinds of user.
pub fn in_namespace(users: &[User], module: &str, name: &str, body: fn()) {
    // The test harness leaves out the crate's name.
    let name = match module.split_once("::") {
        Some((_, module)) => &format!("{module}::{name}"),
        None => name,
    };
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if let Err(why) = possible() {
        return running::skipped(name, &format!("no network namespaces here: {why}"));
    }
    let run = |user: &User| {
        user.unshare()
            .arg(program())
            .args([name, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(INSIDE, "1")
            .output()
            .unwrap()
    };
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = users.iter().map(|user| scope.spawn(move || run(user))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for (user, output) in users.iter().zip(outputs) {
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
            "{name} as {user:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }
}

/// Waits until no other test that says this runs: what they measure suffers from each other.
pub fn alone() -> std::fs::File {
    let program = std::fs::File::open("/proc/self/exe").unwrap();
    // SAFETY: takes no pointers; the descriptor is open.
    assert_eq!(unsafe { libc::flock(program.as_raw_fd(), libc::LOCK_EX) }, 0);
    program
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The superuser, in the host's user namespace.
    Root,
    /// An ordinary user, in a user namespace of its own.
    Ordinary,
    /// Root as an ordinary user, in a user namespace of its own.
    Nobody,
}

impl User {
    fn unshare(self) -> Command {
        let words: &[&str] = match self {
            Self::Root => &["unshare", "-n"],
            Self::Ordinary => &["unshare", "-Urn"],
            Self::Nobody => {
                &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urn"]
            }
        };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    }
}

/// Those that a test is run by. Where not everything is wanted, root does not become an ordinary user.
pub fn users() -> &'static [User] {
    match (is_root(), running::all()) {
        (true, true) => &[User::Root, User::Nobody],
        (true, false) => &[User::Root],
        (false, _) => &[User::Ordinary],
    }
}

fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether namespaces can be made here, and by whom not.
fn possible() -> Result<(), String> {
    static POSSIBLE: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    let try_it = || {
        for user in users() {
            let output = user
                .unshare()
                .args(["ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"])
                .output()
                .map_err(|e| format!("{user:?}: {e}"))?;
            if !output.status.success() {
                return Err(format!("{user:?}: {}", String::from_utf8_lossy(&output.stderr)));
            }
        }
        Ok(())
    };
    POSSIBLE.get_or_init(try_it).clone()
}

/// This test program by a name that every user may run it by: the way to it may be root's alone,
/// so it is opened here, and the descriptor handed on.
fn program() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        let fd = std::fs::File::open("/proc/self/exe").unwrap().into_raw_fd();
        // SAFETY: takes no pointers. The descriptor stays open over an exec from here on.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
        format!("/proc/self/fd/{fd}")
    })
}

/// Runs a command line; it must succeed. Gives what it printed.
pub fn run(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Sets how many descriptors there can be; gives what it was.
pub fn limit_descriptors(limit: u64) -> u64 {
    set_limit(libc::RLIMIT_NOFILE, limit)
}

/// Sets how many octets of memory there can be; gives what it was.
pub fn limit_memory(limit: u64) -> u64 {
    set_limit(libc::RLIMIT_DATA, limit)
}

fn set_limit(resource: libc::__rlimit_resource_t, limit: u64) -> u64 {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both are given a valid structure.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &raw mut now), 0);
        let before = std::mem::replace(&mut now.rlim_cur, limit);
        assert_eq!(libc::setrlimit(resource, &raw const now), 0);
        before
    }
}

/// Waits until `condition` gives something.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(got) = condition() {
            return got;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a count, which only grows, has come to `all`: as long as it takes, but not as long as anything
/// awaited may take with no progress at all.
pub fn wait_for_all(what: &str, all: usize, mut count: impl FnMut() -> usize) {
    let (mut most, mut grown) = (count(), Instant::now());
    while most < all {
        assert!(grown.elapsed() < DEADLINE, "waited in vain: {what}: {most} of {all}");
        std::thread::sleep(Duration::from_millis(20));
        let now = count();
        if now > most {
            (most, grown) = (now, Instant::now());
        }
    }
}

/// A device of the router with the other end of its cable.
pub struct Cable {
    /// The router's interface index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The name of the other end.
    pub peer: String,
    socket: OwnedFd,
    peer_index: u32,
}

impl Cable {
    /// Makes a veth pair `name` and `namep`, both up. `address` is the router's, with its length.
    pub fn new(name: &str, address: Option<&str>) -> Self {
        Self::with(name, address, "")
    }

    /// As [`Self::new`], with options of `ip link add`.
    pub fn with(name: &str, address: Option<&str>, options: &str) -> Self {
        let peer = format!("{name}p");
        run(&format!("ip link add name {name} {options} type veth peer name {peer}"));
        run(&format!("ip link set dev {name} up && ip link set dev {peer} up"));
        if let Some(address) = address {
            run(&format!("ip address add {address} dev {name}"));
        }
        // The kernel brings this about a moment later: what is sent until then is lost, and news of it
        // would come in the middle of a test.
        wait_for(&format!("{name} to run"), || (runs(name) && runs(&peer)).then_some(()));
        Self::existing(name)
    }

    /// The pair `name` and `namep`, as it is.
    pub fn existing(name: &str) -> Self {
        let peer = format!("{name}p");
        let (index, peer_index) = (index_of(name), index_of(&peer));
        let socket = packet_socket(peer_index);
        Self { index, name: name.into(), peer, socket, peer_index }
    }

    /// The router's interface without a next hop.
    pub fn key(&self) -> mgm::types::IfKey {
        mgm::types::IfKey::new(self.index, Ipv4Addr::UNSPECIFIED)
    }

    /// Sends an IPv4 packet into the cable: it comes in on the router's device.
    pub fn send(&self, packet: &[u8]) {
        // SAFETY: plain data for which all zeros is a value.
        let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_protocol = (libc::ETH_P_IP as u16).to_be();
        to.sll_ifindex = self.peer_index as i32;
        to.sll_halen = 6;
        to.sll_addr[..6].copy_from_slice(&[1, 0, 0x5e, packet[17] & 0x7f, packet[18], packet[19]]);
        // SAFETY: packet and address are valid for their lengths.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                (&raw const to).cast(),
                size_of_val(&to) as u32,
            )
        };
        assert_eq!(sent, packet.len() as isize, "{}", std::io::Error::last_os_error());
    }

    /// The next multicast UDP packet that came out of the router's device, if there is one.
    pub fn receive(&self) -> Option<Vec<u8>> {
        loop {
            let mut buffer = vec![0; 2048];
            // SAFETY: the buffer is valid for its length.
            let n = unsafe {
                libc::recv(
                    self.socket.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            buffer.truncate(usize::try_from(n).ok()?);
            if buffer.len() >= 20 && buffer[9] == 17 && buffer[16] >> 4 == 14 {
                return Some(buffer);
            }
        }
    }

    /// How many packets came faster than they were received here and were lost for it, since this
    /// was asked last.
    pub fn lost(&self) -> u64 {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut size = size_of_val(&stats) as u32;
        // SAFETY: the kernel writes at most `size` octets to `stats`, which is that large.
        let got = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut size,
            )
        };
        assert_eq!(got, 0, "{}", std::io::Error::last_os_error());
        stats.tp_drops.into()
    }

    /// Waits for such a packet.
    pub fn wait_receive(&self) -> Vec<u8> {
        wait_for(&format!("a packet on {}", self.peer), || self.receive())
    }
}

/// Whether a device is up and has a carrier, and the kernel has told so.
fn runs(name: &str) -> bool {
    // SAFETY: plain data for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: the descriptor is new and ours; the kernel reads the name and writes the flags.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        let socket = OwnedFd::from_raw_fd(socket);
        let got = libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request);
        assert_eq!(got, 0, "{name}: {}", std::io::Error::last_os_error());
        i32::from(request.ifr_ifru.ifru_flags) & libc::IFF_RUNNING != 0
    }
}

/// The interface index of a device.
pub fn index_of(name: &str) -> u32 {
    let c_name = CString::new(name).unwrap();
    // SAFETY: the name is a C string.
    let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
    assert_ne!(index, 0, "no device {name}");
    index
}

fn packet_socket(ifindex: u32) -> OwnedFd {
    let protocol = (libc::ETH_P_IP as u16).to_be();
    // SAFETY: takes no pointers; the descriptor is new and ours.
    let socket = unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        let fd = libc::socket(libc::AF_PACKET, kind, protocol.into());
        assert!(fd >= 0, "packet socket: {}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: plain data for which all zeros is a value.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_protocol = protocol;
    to.sll_ifindex = ifindex as i32;
    // SAFETY: the address is valid for its length.
    let bound =
        unsafe { libc::bind(socket.as_raw_fd(), (&raw const to).cast(), size_of_val(&to) as u32) };
    assert_eq!(bound, 0, "bind: {}", std::io::Error::last_os_error());
    socket
}

/// An IPv4 packet with a right header checksum.
pub fn ip_packet(protocol: u8, source: Ipv4Addr, to: Ipv4Addr, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 1, 0, 0, ttl, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(to.octets());
    let sum: u32 = packet.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A UDP packet with the given data and a TTL of 16.
pub fn udp(source: Ipv4Addr, group: Ipv4Addr, data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for word in [4000u16, 5000, 8 + data.len() as u16, 0] {
        payload.extend(word.to_be_bytes());
    }
    payload.extend(data);
    ip_packet(17, source, group, 16, &payload)
}
