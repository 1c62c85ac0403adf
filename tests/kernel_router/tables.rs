//! Two programs with a table each, in one namespace.

use crate::netns::recorder::{flow, send_until_received};
use crate::netns::{Cable, run, wait_for};
use crate::netns_tests;
use crate::stage::{Router, any, kernel_entries, three_cables};
use mgm::core::types::SourceGroup;
use mgm::settings::ForwarderChoice;
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
