//! Writes `include/commbox.h` where it differs from what the sources say, and gives the shared library its soname.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=src/ffi");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=include/commbox.h");

    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let target = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets CARGO_CFG_TARGET_OS");
    if target == "linux" {
        // The number is COMMBOX_ABI_VERSION: a program finds only a library that it can run with.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcommbox.so.1");
        // Its threads may be in a lookup, and thread-locals and fork handlers name its code: dlclose() leaves it there.
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
