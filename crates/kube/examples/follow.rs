//! Follows a cluster and prints what is told: `cargo run -p podgate-kube --example follow [KUBECONFIG]`.

#![expect(clippy::print_stdout, reason = "an example prints")]

use podgate_kube::{Client, News, Options, Watched, watch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options { kubeconfig: std::env::args().nth(1).map(Into::into), context: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(Client::connect(&options))?;
    println!("following {}", client.context());
    let _watching = watch(&client, &Watched::ALL, runtime.handle(), |_, batch| {
        for news in batch {
            match news {
                News::Listing(what) => println!("listing {}", what.resource()),
                News::Applied(_, item) => println!("applied {} {}", item.object.key(), item.resource_version),
                News::Deleted(_, key, uid) => println!("deleted {key} {uid}"),
                News::Unreadable(_, key, found) => {
                    println!("unreadable {key}");
                    found.iter().for_each(|found| println!("  {found}"));
                }
                News::Synced(what) => println!("synced {}", what.resource()),
                News::Resumed(what) => println!("resumed {}", what.resource()),
                News::Absent(what) => println!("absent {}", what.resource()),
                News::Interrupted { why, retry_in, .. } => println!("{why} (again in {retry_in:?})"),
            }
        }
    });
    runtime.block_on(std::future::pending::<()>());
    Ok(())
}
