//! Tables: two programs with one each in one namespace, and a VRF's.

use crate::netns::recorder::{flow, send_until_received};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, any, kernel_entries, three_cables};
use mgm::shell::settings::ForwarderChoice;
use mgm::types::SourceGroup;
use std::process::Command;
use std::time::Duration;

const CHILD: &str = "MGM_TEST_OTHER_TABLE";

fn theirs() -> SourceGroup {
    SourceGroup::new([10, 3, 0, 2].into(), [232, 1, 0, 1].into())
}

netns_tests! {
    fn two_programs_on_two_tables() {
        if std::env::var_os(CHILD).is_some() {
            return other_program();
        }
        let [a, b, c] = three_cables();
        let d = Cable::new("d", Some("10.4.0.1/24"));
        run("ip mrule add iif c lookup 77");
        let router = Router::start();
        router.take(&[&a, &b]);
        let ours = flow(2, 1);
        router.join(any(ours), b.key());
        let mut other = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(CHILD, "1")
            .spawn()
            .unwrap();
        let in_77 = || run("ip mroute show table 77 2>/dev/null || true");
        send_until_received(&c, theirs(), &d);
        send_until_received(&a, ours, &b);
        assert!(in_77().contains("10.3.0.2,232.1.0.1"));
        assert!(!in_77().contains("10.1.0.2"));
        assert_eq!(kernel_entries().len(), 1);
        // The end of one does not concern the other.
        other.kill().unwrap();
        other.wait().unwrap();
        wait_for("table 77 to empty", || in_77().is_empty().then_some(()));
        while b.receive().is_some() {}
        send_until_received(&a, ours, &b);
        router.agrees_with_kernel();
    }

    fn the_table_of_a_vrf() {
        let [a, b, c] = three_cables();
        if let Err(why) = make_vrf() {
            // Said by the kernel, and true: then rules take the place of the VRF's own.
            assert!(why.contains("Unknown device type"), "{why}");
            assert!(!vrfs_are_built_in(), "the kernel has VRFs, but makes none: {why}");
            eprintln!("this kernel has no VRFs ({}); rules instead", why.trim());
            run("ip mrule add iif a lookup 10 && ip mrule add iif b lookup 10");
            run("ip rule add to 10.8.0.0/16 lookup 10 && ip route add 10.8.0.0/16 dev a table 10");
        }
        // What the main table says is of no account.
        run("ip route add 10.8.0.0/24 dev c");
        let router =
            Router::with(|settings| settings.forwarder = ForwarderChoice::Kernel { table: 10 });
        router.take(&[&a, &b, &c]);
        let f = SourceGroup::new([10, 8, 0, 2].into(), [232, 8, 0, 1].into());
        router.join(any(f), b.key());
        send_until_received(&a, f, &b);
        let entry = router.entry(f).unwrap();
        assert_eq!((entry.iif, entry.oifs), (a.key(), vec![b.key()]));
        assert_eq!(entry.route.2, 16);
        let shown = run("ip mroute show table 10");
        assert!(shown.contains("(10.8.0.2,232.8.0.1)") && shown.contains("Iif: a"), "{shown}");
        // The route moves within the table.
        run("ip route replace 10.8.0.0/16 dev b table 10");
        wait_for("the entry to move", || router.entry(f).filter(|e| e.iif == b.key()));
        // Without the VRF the main table counts.
        run("ip link delete dev red 2>/dev/null || ip rule del to 10.8.0.0/16 lookup 10");
        wait_for("the entry to move", || router.entry(f).filter(|e| e.iif == c.key()));
    }
}

/// Puts a and b into a VRF with routes of its own.
fn make_vrf() -> Result<(), String> {
    let made = Command::new("ip")
        .args(["link", "add", "red", "type", "vrf", "table", "10"])
        .output()
        .unwrap();
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    run("ip link set dev red up && ip link set dev a master red && ip link set dev b master red");
    run("ip route add 10.8.0.0/16 dev a table 10");
    Ok(())
}

/// Whether the kernel's configuration, where it tells it, has VRFs. A module that cannot be loaded
/// in this namespace would give the same error.
fn vrfs_are_built_in() -> bool {
    let told = Command::new("sh")
        .args(["-c", "zcat /proc/config.gz || cat /boot/config-$(uname -r)"])
        .output()
        .unwrap();
    String::from_utf8_lossy(&told.stdout).lines().any(|line| line == "CONFIG_NET_VRF=y")
}

fn other_program() {
    let router =
        Router::with(|settings| settings.forwarder = ForwarderChoice::Kernel { table: 77 });
    let [c, d] = ["c", "d"].map(Cable::existing);
    router.take(&[&c, &d]);
    router.join(any(theirs()), d.key());
    // Until it is killed, and not for ever where the test has failed.
    std::thread::sleep(Duration::from_secs(60));
}
