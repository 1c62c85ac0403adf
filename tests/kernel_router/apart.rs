//! The same tests with the host in another process: the router of a test is then a client of a process
//! that has the kernel's table (rules P). `MGM_APART=1` has it so.

use crate::stage::Protocol;
use mgm::ffi::host::MgmHostStart;
use mgm::ffi::types::{
    _MGM_HOST_CONFIG, _MIB_IPMCAST_MFE, _MIB_IPMCAST_MFE_STATS, _MIB_IPMCAST_MFE_STATS_EX,
    _SOURCE_GROUP_ENTRY, DWORD, MGM_FORWARDER_KERNEL, MGM_LOG_INFO, PVOID,
};
use mgm::log::Level;
use mgm::remote::client::RemoteManager;
use mgm::remote::wire::RecordSizes;
use std::ffi::{CStr, CString, c_char};
use std::io::{BufRead, BufReader, Read};
use std::mem::offset_of;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const APART: &str = "MGM_APART";
const PATH: &str = "MGM_APART_HOST";

/// Those of all tests that ask nothing of the host but what a client can ask. The others look into its
/// process (its threads, clock, memory, its end), or count what it wrote to its log.
const TESTS: [&str; 16] = [
    "devices::an_outgoing_device_is_deleted_and_comes_back",
    "devices::an_incoming_device_is_deleted_and_comes_back",
    "devices::a_device_comes_back_as_another_interface",
    "devices::a_new_name_changes_nothing",
    "devices::links_go_down_and_up",
    "devices::next_hops_on_one_device_share_it",
    "divergence::entries_that_somebody_else_changes_are_mended",
    "divergence::a_table_that_somebody_else_empties_is_filled_again",
    "routes::a_change_concerns_just_the_entries_under_its_prefix",
    "routes::routes_of_every_kind",
    "routes::routes_that_vanish_with_their_link",
    "routes::directly_connected_and_local_sources",
    "statistics::each_interface_counts_from_when_it_joined",
    "statistics::what_the_kernel_does_not_send_counts_as_sent",
    "statistics::what_somebody_else_deletes_counts_anew",
    "wire::e7_a_wrong_interface_is_told_of_whether_or_not_it_is_an_oif",
];

/// Whether this process runs the tests so.
pub fn wanted() -> bool {
    std::env::var_os(APART).is_some()
}

/// A host in a process of its own, which ends with this.
pub struct Host {
    child: Child,
    path: std::path::PathBuf,
}

impl Host {
    /// On the default table; its log lines are added to these.
    pub fn start(log: &Arc<Mutex<Vec<(Level, String)>>>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mgm-apart-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["apart::host", "--exact", "--nocapture", "--test-threads=1"])
            .env(PATH, &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line == "= ready"), "the host in another process");
        let log = Arc::clone(log);
        std::thread::spawn(move || {
            for line in lines {
                let Some((level, text)) = line.split_once(' ') else { continue };
                if let Some(level) = Level::from_name(level) {
                    log.lock().unwrap().push((level, text.to_owned()));
                }
            }
        });
        Self { child, path }
    }

    /// A connection of this process to it.
    pub fn client(&self) -> &'static RemoteManager<Protocol> {
        let sizes = RecordSizes {
            mfe: offset_of!(_MIB_IPMCAST_MFE, rgmioOutInfo) as u16,
            mfe_stats: offset_of!(_MIB_IPMCAST_MFE_STATS, rgmiosOutStats) as u16,
            mfe_stats_ex: offset_of!(_MIB_IPMCAST_MFE_STATS_EX, rgmiosOutStats) as u16,
            source_group: size_of::<_SOURCE_GROUP_ENTRY>() as u16,
        };
        let log = |level, text: std::fmt::Arguments<'_>| eprintln!("client: {level:?}: {text}");
        let client = Box::leak(Box::new(RemoteManager::new(log, sizes)));
        client.set_path(self.path.clone());
        client
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

unsafe extern "C-unwind" fn log_line(_: PVOID, level: DWORD, text: *const c_char) {
    // SAFETY: the library's text, which ends with a NUL.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let names = ["error", "warn", "info", "debug", "trace"];
    println!("{} {text}", names[(level as usize).clamp(1, 5) - 1]);
}

/// The other process: does nothing where this is the test run itself.
#[test]
fn host() {
    let Ok(path) = std::env::var(PATH) else { return };
    let path = CString::new(path).unwrap();
    // SAFETY: numbers and nullable pointers only, for which all zeros is a value.
    let mut config: _MGM_HOST_CONFIG = unsafe { std::mem::zeroed() };
    config.dwSize = size_of::<_MGM_HOST_CONFIG>() as DWORD;
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    config.pszServePath = path.as_ptr();
    config.dwLogLevel = MGM_LOG_INFO;
    config.pfnLog = Some(log_line);
    // SAFETY: the configuration outlives the call.
    assert_eq!(unsafe { MgmHostStart(&raw const config) }, 0);
    println!("\n= ready");
    // Until the test has ended.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

#[test]
fn p1_on_the_kernel_clients_in_another_process() {
    if wanted() || std::env::var_os(PATH).is_some() {
        return;
    }
    let mut run = Command::new(std::env::current_exe().unwrap());
    let done = run.args(["--exact"]).args(TESTS).env(APART, "1").output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    let count = format!("{} passed; 0 failed", TESTS.len());
    assert!(done.status.success() && text.contains(&count), "{text}");
}
