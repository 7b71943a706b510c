//! Lists the page's built files, so that the binary has them all: as they are, and compressed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let dist = root.join("../../web/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    list(&dist, "", &mut files);
    files.sort();
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    let mut code = String::from(
        "/// Name, bytes, and the same in gzip where that is smaller.\ntype Packed = (&'static str, &'static [u8], Option<&'static [u8]>);\npub static FILES: &[Packed] = &[\n",
    );
    for (number, (name, path)) in files.into_iter().enumerate() {
        let bytes = std::fs::read(&path).expect("it was listed");
        let packed = gzip(&bytes);
        let packed = if packed.len() < bytes.len() {
            let file = out.join(format!("{number}.gz"));
            std::fs::write(&file, packed).expect("the folder is cargo's own");
            format!("Some(include_bytes!({:?}))", file.display().to_string())
        } else {
            "None".to_owned()
        };
        writeln!(code, "    ({name:?}, include_bytes!({:?}), {packed}),", path.display().to_string())
            .expect("a string takes all");
    }
    code.push_str("];\n");
    std::fs::write(out.join("files.rs"), code).expect("the folder is cargo's own");
}

/// The same bytes for the same bytes: without a time or a name.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes all")
}

fn list(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
    for entry in std::fs::read_dir(dir).expect("web/dist is there: npm run build in web/").flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => list(&entry.path(), &format!("{name}/"), files),
            false => files.push((name, entry.path())),
        }
    }
}
