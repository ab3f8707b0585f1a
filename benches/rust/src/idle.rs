//! A program that does nothing, to measure the memory that any Rust program uses.

fn main() {
    println!("{{\"peak_kb\": {}}}", commbox_bench::memory("VmHWM:"));
}
