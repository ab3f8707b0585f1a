//! Writes `include/commbox.h` if it differs from what the sources give, and sets the soname of the
//! shared library.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=include/commbox.h");

    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let target = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets CARGO_CFG_TARGET_OS");
    if target == "linux" {
        // The number is COMMBOX_ABI_VERSION, so that a program only finds a compatible library.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcommbox.so.1");
        // dlclose() must not unload the library: its threads may be in a DNS lookup, and
        // thread-locals and fork handlers refer to its code.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }

    if target == "macos" {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libcommbox.1.dylib");
    }

    let header = Path::new(&root).join("include/commbox.h");
    let mut text = Vec::new();
    cbindgen::generate(&root).expect("src/ffi can be read by cbindgen").write(&mut text);
    if fs::read(&header).ok().as_ref() != Some(&text) {
        fs::write(&header, text).expect("include/commbox.h can be written");
    }
}
