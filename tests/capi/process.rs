//! Tests that need a process of their own: the library lives once in each.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

const CHILD: &str = "MGM_TEST_CHILD";

/// Runs a test's body in a process of its own.
pub fn in_a_process(test: &str, body: impl Fn()) {
    in_processes(test, &["the test"], |_| body());
}

/// Runs a test's body for each case in a process of its own. The test's name is the whole one.
pub fn in_processes(test: &str, cases: &[&str], body: impl Fn(&str)) {
    if let Ok(case) = std::env::var(CHILD) {
        return crate::aside(|| body(&case));
    }
    let program = std::env::current_exe().unwrap();
    for case in cases {
        let output = Command::new(&program)
            .args(["--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(CHILD, case)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        let ran = String::from_utf8_lossy(&output.stdout).contains("1 passed");
        assert!(
            output.status.success() && ran,
            "{case}: {:?}, signal {:?}:\n{tail}",
            output.status.code(),
            output.status.signal()
        );
        eprintln!("{case}: {}", lines.last().unwrap_or(&""));
    }
}
