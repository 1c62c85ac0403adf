//! How the shared library is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // Programs ask for the ABI's version, not for the file's name.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmgm.so.1");
        // dlclose must not take the code away from under threads that are still running it.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
