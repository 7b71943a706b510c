//! What gzip's levels take and give: `levels FILE...`, where files are answers of the page's API. The best of five.

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> std::io::Result<()> {
    const LEVELS: [u32; 7] = [1, 2, 3, 4, 5, 6, 9];
    println!("| answer | plain |{}", LEVELS.map(|level| format!(" level {level} |")).concat());
    println!("|---|---:|{}", "---:|".repeat(LEVELS.len()));
    for file in std::env::args().skip(1) {
        let plain = std::fs::read(&file)?;
        print!("| {file} | {} KiB |", plain.len() / 1024);
        for level in LEVELS.map(Compression::new) {
            let (mut least, mut packed) = (Duration::MAX, 0);
            for _ in 0..5 {
                let start = Instant::now();
                let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), level);
                encoder.write_all(&plain)?;
                packed = encoder.finish()?.len();
                least = least.min(start.elapsed());
            }
            print!(" {:.1} ms, {} KiB |", least.as_secs_f64() * 1e3, packed / 1024);
        }
        println!();
    }
    Ok(())
}
