//! A program that does nothing: its memory is what any program in Rust has.

fn main() {
    println!("{{\"peak_kb\": {}}}", commbox_bench::memory("VmHWM:"));
}
