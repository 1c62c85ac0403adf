//! mgmctl as a process, against a host with packets and against what only looks like one.

use mgm::ffi::entry::{
    MgmAddGroupMembershipEntry, MgmRegisterMProtocol, MgmReleaseInterfaceOwnership,
    MgmTakeInterfaceOwnership,
};
use mgm::ffi::host::{MgmHostReceive, MgmHostStart, MgmHostStop};
use mgm::ffi::types::{_MGM_HOST_CONFIG, _ROUTING_PROTOCOL_CONFIG, HANDLE};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// MS_IP_IGMP.
const IGMP: u32 = 0x4137_000a;

/// A directory of this test alone.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("mgmctl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        Self(place)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn mgmctl(control: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mgmctl"));
    command.env_clear().env("MGM_CONTROL", control).args(arguments).stdin(Stdio::null());
    command
}

/// What it prints.
fn printed(control: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = mgmctl(control, arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What it says is wrong; its status is that of an error, not of a crash.
fn wrong(control: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = mgmctl(control, arguments).output().unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{arguments:?}: {told}");
    assert!(told.starts_with("mgmctl: ") && !told.contains("panicked"), "{told}");
    assert!(!stdout.contains(&0x1b) && !told.contains('\u{1b}'), "{told:?}");
    told
}

/// The words of each line of a table, its head first.
fn words(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn dword(octets: [u8; 4]) -> u32 {
    u32::from_ne_bytes(octets)
}

fn packet(source: [u8; 4], group: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 16, 17, 0, 0];
    packet.extend(source);
    packet.extend(group);
    packet.extend([0; 8]);
    packet
}

fn receive(interface: u32, source: [u8; 4], group: [u8; 4]) {
    let packet = packet(source, group);
    // SAFETY: the packet outlives the call.
    let code = unsafe { MgmHostReceive(interface, 0, packet.as_ptr(), packet.len() as u32) };
    assert_eq!(code, 0);
}

/// This process is the host: a protocol on 1 to 3, IGMP on 2 and 3, two receivers, and two flows.
fn start(path: &Path) -> HANDLE {
    let text = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: numbers and nullable pointers only, for which all zeros is a value.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as u32;
    config.pszControlPath = text.as_ptr();
    // SAFETY: the configuration and its string outlive the call.
    assert_eq!(unsafe { MgmHostStart(&raw const config) }, 0);
    let register = |protocol, component| {
        // SAFETY: all its functions may be null.
        let mut callbacks: _ROUTING_PROTOCOL_CONFIG = unsafe { std::mem::zeroed() };
        let mut handle: HANDLE = std::ptr::null_mut();
        // SAFETY: both outlive the call.
        let code = unsafe {
            MgmRegisterMProtocol(&raw mut callbacks, protocol, component, &raw mut handle)
        };
        assert_eq!(code, 0);
        handle
    };
    let (protocol, igmp) = (register(0x7fff_0007, 1), register(IGMP, 0));
    for index in 1..=3 {
        assert_eq!(MgmTakeInterfaceOwnership(protocol, index, 0), 0);
    }
    for index in 2..=3 {
        assert_eq!(MgmTakeInterfaceOwnership(igmp, index, 0), 0);
        join(igmp, index);
        join(protocol, index);
    }
    for _ in 0..5 {
        receive(1, [10, 0, 0, 1], [239, 1, 1, 1]);
    }
    receive(1, [10, 0, 0, 2], [239, 9, 9, 9]);
    receive(2, [10, 0, 0, 1], [239, 1, 1, 1]);
    protocol
}

fn join(client: HANDLE, interface: u32) {
    let group = dword([239, 1, 1, 1]);
    assert_eq!(MgmAddGroupMembershipEntry(client, 0, 0, group, u32::MAX, interface, 0, 1), 0);
}

/// A key sorts what was seen. It causes no look, whose rates would be those of a moment: the packet that
/// has come since is not shown.
fn a_key_causes_no_look(control: &Path) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut command = mgmctl(control, &["watch", "-n", "600"]);
    let mut watch =
        command.stdin(slave.try_clone().unwrap()).stdout(slave).spawn().expect("mgmctl");
    let mut screen = File::from(master);
    let mut frame = |has: &str| {
        let (mut text, mut octets) = (String::new(), [0; 4096]);
        while !(text.contains(has) && text.ends_with("\x1b[J")) {
            let count = screen.read(&mut octets).unwrap();
            text.push_str(std::str::from_utf8(&octets[..count]).unwrap());
        }
        screen.write_all(b"p").unwrap();
        text.lines().find(|line| line.starts_with("239.9.9.9")).expect(has).to_owned()
    };
    let first = frame("[r:rate]");
    receive(1, [10, 0, 0, 2], [239, 9, 9, 9]);
    let second = frame("[p:packets]");
    screen.write_all(b"q").unwrap();
    assert!(watch.wait().unwrap().success());
    assert_eq!(second, first);
}

#[test]
fn what_it_shows_of_a_host() {
    let place = Directory::new("shows");
    let control = place.0.join("control.sock");
    let protocol = start(&control);

    let shown = printed(&control, &["show", "mfes"]);
    let lines = words(&shown);
    assert_eq!(lines[0][..3], ["Flags:", "F", "forwards,"]);
    let heads = ["Group", "Source", "Fl", "Uptime", "Expire", "Packets", "Pkt/s"];
    assert_eq!(lines[1][..7], heads);
    assert_eq!(lines[2][..3], ["239.1.1.1", "10.0.0.1", "FW"]);
    assert_eq!(
        (lines[2][5], &lines[2][8..]),
        ("5", &["0x7fff0007", "1", "2,", "3"][..]),
        "{shown}"
    );
    assert_eq!(lines[3][..3], ["239.9.9.9", "10.0.0.2", "N"]);
    assert_eq!(lines[3][8..], ["0x7fff0007", "1", "-"]);
    assert_eq!(lines.len(), 4);
    assert!(shown.lines().all(|line| line.len() <= 80), "{shown}");
    let wide = mgmctl(&control, &["show", "mfes"]).env("COLUMNS", "120").output().unwrap();
    assert!(String::from_utf8(wide.stdout).unwrap().contains("Wrong-if"));

    let groups = printed(&control, &["show", "groups", "-i", "3"]);
    assert_eq!(
        words(&groups)[1..],
        [
            ["239.1.1.1", "*", "3", "0x7fff0007/1", "protocol"],
            ["239.1.1.1", "*", "3", "igmp", "igmp"],
        ]
    );
    let interfaces = printed(&control, &["show", "interfaces"]);
    assert_eq!(words(&interfaces)[1], ["1", "1", "up", "0x7fff0007/1", "-", "0"]);
    assert_eq!(words(&interfaces)[2], ["2", "2", "up", "0x7fff0007/1", "igmp", "2"]);
    let clients = printed(&control, &["show", "clients"]);
    assert_eq!(words(&clients)[1][..5], ["0x7fff0007/1", "0x7fff0007", "1", "protocol", "3"]);
    assert_eq!(words(&clients)[2][..5], ["igmp", "0x4137000a", "0", "igmp", "2"]);
    let counters = printed(&control, &["show", "counters"]);
    assert!(
        counters.contains("  packets on a wrong interface                     1\n"),
        "{counters}"
    );
    // How long they took is another matter: the thread may have waited for a processor.
    let rpf = words(&counters).into_iter().find(|line| line.first() == Some(&"rpf")).unwrap();
    assert!(rpf.len() == 5 && rpf[1] == "2" && rpf[2].parse::<f64>().is_ok(), "{counters}");

    for (arguments, expected) in [
        (&["mfes"][..], "2\n"),
        (&["mfes", "--group", "239.9.0.0/16"], "1\n"),
        (&["mfes", "-s", "10.0.0.1"], "1\n"),
        (&["mfes", "-i", "3"], "1\n"),
        (&["mfes", "-i", "eth0"], "0\n"),
        (&["groups", "-s", "0.0.0.0"], "4\n"),
        (&["interfaces"], "3\n"),
        (&["clients", "--json"], "{\"count\":2}\n"),
    ] {
        assert_eq!(printed(&control, &[&["count"], arguments].concat()), expected, "{arguments:?}");
    }
    let json = |arguments: &[&str]| {
        serde_json::from_str::<serde_json::Value>(&printed(&control, arguments)).unwrap()
    };
    let mfes = json(&["show", "mfes", "--json", "-g", "239.1.1.1"]);
    assert_eq!(mfes["mfes"].as_array().unwrap().len(), 1);
    assert_eq!(mfes["mfes"][0]["oifs"][1]["packets"], 5);
    assert_eq!(json(&["show", "interfaces", "--json"])["interfaces"].as_array().unwrap().len(), 3);
    assert_eq!(json(&["summary", "--json"])["counters"]["mfes"], 2);
    assert_eq!(json(&["show", "mfes", "--json", "-i", "77"])["mfes"], serde_json::json!([]));

    let summary = printed(&control, &["summary"]);
    assert!(summary.contains("2 of 1048576: 1 forward, 1 without outgoing"), "{summary}");
    let hosts = printed(&place.0, &["hosts"]);
    let process = std::process::id().to_string();
    assert_eq!(words(&hosts)[1][..2], [control.to_str().unwrap(), &process]);
    // A directory is searched; one that is alone in it is asked.
    assert_eq!(printed(&place.0, &["count", "mfes"]), "2\n");

    let watched = printed(&control, &["watch", "--looks", "2", "-n", "0.1", "--sort", "group"]);
    assert_eq!(watched.matches("239.9.9.9").count(), 2, "{watched}");
    assert!(
        watched.contains("2 entries, 1 negative") && watched.contains("[g:group]"),
        "{watched}"
    );
    let graph = printed(&control, &["graph"]);
    for line in [
        "\"from 10.0.0.1\" -> \"in 1\" [label=\"5\"];",
        "\"in 1\" -> \"group 239.1.1.1\" [label=\"5\"];",
        "\"in 1\" -> \"group 239.9.9.9\" [label=\"1\", style=dashed",
        "\"group 239.1.1.1\" -> \"out 3\" [label=\"5\"];",
        "\"out 3\" -> \"client igmp\" [label=\"1 member\"",
    ] {
        assert!(graph.contains(line), "{line}: {graph}");
    }
    assert!(
        printed(&control, &["graph", "--limit", "1"]).contains("1 quieter groups are left out")
    );
    a_key_causes_no_look(&control);
    for shell in ["bash", "zsh", "fish"] {
        assert!(printed(&control, &["completion", shell]).contains("interfaces"), "{shell}");
    }
    events(&control, protocol);
    // Whoever reads the beginning alone does not make it fail.
    let script = format!("{} show mfes | head -1", env!("CARGO_BIN_EXE_mgmctl"));
    let head = Command::new("bash")
        .args(["-o", "pipefail", "-c", &script])
        .env("MGM_CONTROL", &control)
        .output();
    assert!(head.unwrap().status.success());
    assert_eq!(MgmHostStop(), 0);
    assert!(wrong(&control, &["show", "mfes"]).contains("no host runs"));
}

/// A line for each change, as it comes about.
fn events(control: &Path, protocol: HANDLE) {
    let mut following =
        mgmctl(control, &["events", "-n", "0.1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // The first look comes before any line, at a time that cannot be seen.
    let (send, stop) = std::sync::mpsc::channel::<()>();
    let sender = thread::spawn(move || {
        let mut source = 3;
        while stop.recv_timeout(Duration::from_millis(150)).is_err() && source < 250 {
            receive(1, [10, 0, 0, source], [239, 1, 1, 1]);
            source += 1;
        }
    });
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("entry     came     (10.0.0.") && line.ends_with("1 -> 2, 3"), "{line}");
    send.send(()).unwrap();
    sender.join().unwrap();
    assert_eq!(MgmTakeInterfaceOwnership(protocol, 4, 0), 0);
    assert_eq!(MgmReleaseInterfaceOwnership(protocol, 4, 0), 0);
    let owner = lines.find(|line| line.as_ref().unwrap().contains("interface"));
    let owner = owner.unwrap().unwrap();
    assert!(owner.ends_with("interface taken    4  by 0x7fff0007/1"), "{owner}");
    // It had been released before anybody could look.
    let owner = lines.next().unwrap().unwrap();
    assert!(owner.ends_with("interface released 4  by 0x7fff0007/1"), "{owner}");
    kill_process(Pid::from_child(&following), Signal::TERM).unwrap();
    assert!(following.wait().unwrap().success());
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let place = Directory::new("wrong");
    let none = place.0.join("none.sock");
    let told = wrong(&none, &["show", "clients"]);
    assert!(told.contains("no host runs") && told.contains("systemctl start mgmd"), "{told}");
    assert!(wrong(&place.0, &["hosts"]).contains("no host runs"));
    // What a host that died left behind.
    drop(UnixListener::bind(&none).unwrap());
    assert!(wrong(&none, &["summary"]).contains("no host runs"));
    // The socket for clients.
    let clients = place.0.join("clients");
    let _socket = seqpacket(&clients);
    assert!(wrong(&clients, &["summary"]).contains("no control socket"));
    // Several.
    let listeners =
        ["a.sock", "b.sock"].map(|name| UnixListener::bind(place.0.join(name)).unwrap());
    let told = wrong(&place.0, &["summary"]);
    assert!(
        told.contains("several hosts run") && told.contains("a.sock") && told.contains("b.sock")
    );
    assert!(!told.contains("none.sock") && !told.contains("clients"), "{told}");
    drop(listeners);
    // Somebody else's; root may do everything.
    if rustix::process::geteuid().is_root() {
        let private = place.0.join("private.sock");
        let _listener = UnixListener::bind(&private).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&place.0, open).unwrap();
        let program = place.0.join("mgmctl");
        std::fs::copy(env!("CARGO_BIN_EXE_mgmctl"), &program).unwrap();
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        let output = other.arg("summary").env("MGM_CONTROL", &private).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("no permission") && told.contains("sudo mgmctl"), "{told}");
    }
    let usage = mgmctl(&none, &["show", "routes"]).output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

fn seqpacket(path: &Path) -> impl Sized {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&socket, 1).unwrap();
    socket
}

/// Answers each request at a path with octets, until the directory goes.
fn answer(path: &Path, answer: impl Fn(&str) -> Vec<u8> + Send + 'static) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut request).unwrap();
            // Whoever has heard enough goes away.
            let _ = stream.write_all(&answer(request.trim()));
        }
    });
}

const COMMANDS: [&[&str]; 9] = [
    &["show", "mfes"],
    &["show", "mfes", "--json"],
    &["show", "groups"],
    &["show", "interfaces"],
    &["show", "counters"],
    &["summary"],
    &["graph"],
    &["watch", "--looks", "1"],
    &["events", "-n", "0.1", "--looks", "2"],
];

#[test]
fn an_answer_that_makes_no_sense_is_an_error() {
    let place = Directory::new("garbled");
    let deep = "[".repeat(100_000).into_bytes();
    let bad: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("text", b"220 mail.example.org ESMTP\n".to_vec()),
        ("binary", (0..=255).collect()),
        ("other", b"{\"version\":\"1\"}\n".to_vec()),
        ("list", b"[1,2,3]\n".to_vec()),
        ("cut", b"{\"mfes\":[{\"group\":\"239.1.1.1\",\"sou".to_vec()),
        ("deep", deep),
        ("row", b"{\"mfes\":[{\"group\":\"\x1b[2J\"}],\"groups\":[7],\"clients\":{}}\n".to_vec()),
        ("refused", b"{\"error\":\"unknown request \\u001b[2J\",\"allowed\":[]}\n".to_vec()),
    ];
    for (name, octets) in bad {
        let path = place.0.join(name);
        let given = octets.clone();
        answer(&path, move |_| given.clone());
        for command in COMMANDS {
            wrong(&path, command);
        }
    }
    assert!(wrong(&place.0.join("cut"), &["show", "mfes"]).contains("cut off"));
    assert!(wrong(&place.0.join("text"), &["show", "mfes"]).contains("makes no sense"));
    let told = wrong(&place.0.join("refused"), &["show", "mfes"]);
    assert!(told.contains("did not answer: unknown request ?[2J"), "{told}");
    let told = wrong(&place.0.join("empty"), &["show", "mfes"]);
    assert!(told.contains("cut off"), "{told}");
}

/// Names of devices and processes, and numbers, are the host's: nothing of them reaches the terminal as
/// it is.
#[test]
fn what_a_host_says_does_nothing_to_the_terminal() {
    let place = Directory::new("hostile");
    let path = place.0.join("control.sock");
    answer(&path, |request| {
        let interface = r#"{"index":1,"next_hop":"0.0.0.0","name":"e\u001b[2J\u009b\"\\\n"}"#;
        let owner = r#"{"protocol":"\u001b[2J","protocol_number":7,"component":4294967295}"#;
        let most = u64::MAX;
        let list = match request {
            "mfes" => format!(
                r#"{{"group":"239.1.1.1","source":"10.0.0.1","iif":{interface},"iif_protocol_number":7,
                "upstream":"0.0.0.0","resolved":false,"uptime":{most},"expires":{most},"lifetime":1,
                "packets":4294967295,"octets":4294967295,"wrong_interface":4294967295,
                "oifs":[{{"interface":{interface},"packets":1}}],"new":[{{}}]}}"#
            ),
            "groups" => format!(
                r#"{{"group":"0.0.0.0","source":"0.0.0.0","interface":{interface},"client":{owner},"igmp":true}}"#
            ),
            "interfaces" => format!(
                r#"{{"interface":{interface},"owner":{owner},"igmp":null,"up":true,"memberships":{most}}}"#
            ),
            "clients" => format!(
                r#"{{"protocol_number":7,"component":1,"igmp":true,"interfaces":1,"uptime":{most},"process":1}}"#
            ),
            changes if changes.starts_with("events") => {
                return format!(
                    r#"{{"process":1,"run":{most},"missed":{most},"next":{most},"later":[{{}}],"events":[
                    {{"of":"entry","what":"came","group":"239.1.1.1","source":"10.0.0.1",
                    "interface":{interface},"resolved":false,"later":{{}}}},
                    {{"of":"member","what":"went"}},{{"of":"client","what":"came"}},{{}},
                    {{"of":"client","what":"came","client":{owner}}},
                    {{"of":"interface","what":"taken","interface":{interface},"client":{owner}}},
                    {{"of":"\u001b[2J","what":"\n","interface":{interface},"client":{owner}}}]}}"#
                )
                .into_bytes();
            }
            _ => {
                return format!(
                    r#"{{"version":"\u001b[2J","forwarder":"\n","uptime":{most},
                    "limits":{{"max_mfes":{most},"max_negative_mfes":{most}}},
                    "counters":{{"mfes":1,"negative_mfes":{most},"forwarder":{{"\u001b[2J \n":{most}}},
                    "callbacks":[{{"callback":"\u001b","count":1,"milliseconds":{most},"within":[]}}]}}}}"#
                )
                .into_bytes();
            }
        };
        format!("{{\"later\":{{\"version\":[1,{{}}]}},\"{request}\":[{list}]}}\n").into_bytes()
    });
    for command in COMMANDS.iter().filter(|command| !command.contains(&"--json")) {
        let shown = printed(&path, command);
        assert!(shown.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{shown:?}");
    }
    let events = printed(&path, &["events", "-n", "0.1", "--looks", "2"]);
    assert!(events.contains("missed   18446744073709551615 changes"), "{events}");
    assert!(events.contains("taken    e?[2J?"), "{events}");
    assert!(printed(&path, &["graph"]).contains("\"in e?[2J?\\\"\\\\?\""), "the text is quoted");
}

/// As many entries as there may be, where MGM_ROWS=1000000 asks for them: all are shown.
#[test]
fn many_entries() {
    let many = std::env::var("MGM_ROWS").map_or(20_000, |rows| rows.parse().unwrap());
    let place = Directory::new("million");
    let path = place.0.join("control.sock");
    answer(&path, move |request| {
        if request != "mfes" {
            return format!("{{\"{request}\":[]}}\n").into_bytes();
        }
        let mut text = Vec::new();
        text.extend(b"{\"mfes\":[");
        for n in 0..many {
            let [_, a, b, c] = u32::to_be_bytes(n);
            let separator = if n == 0 { "" } else { "," };
            write!(
                text,
                "{separator}{{\"group\":\"239.{a}.{b}.{c}\",\"source\":\"10.0.0.1\",\"iif\":{{\"index\":2,\
                 \"next_hop\":\"0.0.0.0\",\"name\":\"eth0\"}},\"iif_protocol\":\"0x7fff0007\",\
                 \"iif_protocol_number\":2147418119,\"upstream\":\"10.0.0.1\",\"route\":{{\"network\":\
                 \"10.0.0.0\",\"prefix_len\":24,\"protocol\":2}},\"resolved\":true,\"uptime\":7,\
                 \"expires\":893,\"lifetime\":900,\"packets\":2,\"octets\":56,\"wrong_interface\":0,\
                 \"oifs\":[{{\"interface\":{{\"index\":3,\"next_hop\":\"0.0.0.0\",\"name\":\"eth1\"}},\
                 \"packets\":2}}]}}"
            )
            .unwrap();
        }
        text.extend(b"]}\n");
        text
    });
    let mut shown = mgmctl(&path, &["show", "mfes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut text = Vec::new();
    shown.stdout.take().unwrap().read_to_end(&mut text).unwrap();
    assert!(shown.wait().unwrap().success());
    assert_eq!(text.iter().filter(|octet| **octet == b'\n').count(), many as usize + 2);
}
