//! What the plugin takes of memory, and that it stays so.

use std::path::Path;

use anyhow::{Context, Result};

use super::load::Wrk;
use super::proxy::{Proxy, Setup};
use super::rules::RulesServer;
use super::{BUSY, Export, SECONDS, Tools, export};
use crate::bench::figure::{Figure, Target};

const MOST_VM_MIB: f64 = 32.0;
/// How much memory may grow by what allocators do.
const FLAT_MIB: f64 = 8.0;

/// What workers take, and that it stays so.
pub(super) async fn measure(tools: &Tools, wrk: &Wrk, upstream: u16, dir: &Path, soak: bool) -> Result<()> {
    let (reloads, total) = if soak { (1_000, 1_000_000) } else { (100, 100_000) };
    let Export { rules, requests } = export(4).await?;
    let request = requests.first().context("no requests")?;
    let mut server = RulesServer::start(&rules).await?;
    let caches = [server.port];
    let mut sizes = Vec::new();
    for (workers, module) in [(1, None), (1, Some(&*tools.module)), (4, Some(&*tools.module))] {
        let setup = Setup {
            module,
            workers,
            ..Setup::new(tools, &caches, upstream)
        };
        let proxy = Proxy::start(dir, &setup).await?;
        let port = if module.is_some() { proxy.filtered } else { proxy.plain };
        wrk.run(port, request, 64, 2 * SECONDS, false).await?;
        sizes.push(proxy.resident_mebibytes()?);
    }
    let [plain, one, four] = sizes[..] else { return Ok(()) };
    println!(
        "{}",
        Figure::beside(
            "plugin/memory-one-worker",
            one,
            "MiB",
            ("envoy-without", plain),
            Target::None
        )
    );
    println!(
        "{}",
        Figure::alone(
            "plugin/memory-each-further-worker",
            (four - one) / 3.0,
            "MiB",
            Target::None
        )
    );

    let proxy = Proxy::start(dir, &Setup::new(tools, &caches, upstream)).await?;
    wrk.run(proxy.filtered, request, BUSY, 2 * SECONDS, false).await?;
    let mut warm = 0.0;
    for edit in 1..=reloads {
        server.publish(&rules.edited(edit))?;
        proxy.until_loads(u64::try_from(edit)? + 1).await?;
        if edit == reloads / 5 {
            warm = proxy.resident_mebibytes()?;
        }
    }
    let reloaded = proxy.resident_mebibytes()?;
    let name = format!("plugin/memory-growth-{reloads}-reloads");
    println!(
        "{}",
        Figure::alone(&name, reloaded - warm, "MiB", Target::AtMost(FLAT_MIB))
    );
    let mut sent = 0;
    while sent < total {
        sent += wrk
            .run(proxy.filtered, request, BUSY, 10 * SECONDS, false)
            .await?
            .requests;
        if sent < total / 5 || warm < reloaded {
            warm = proxy.resident_mebibytes()?.max(reloaded);
        }
    }
    let name = format!("plugin/memory-growth-{total}-requests");
    let growth = proxy.resident_mebibytes()? - warm;
    println!("{}", Figure::alone(&name, growth, "MiB", Target::AtMost(FLAT_MIB)));
    let vm = proxy.vm_mebibytes().await?;
    println!(
        "{}",
        Figure::alone("plugin/memory-vm", vm, "MiB", Target::AtMost(MOST_VM_MIB))
    );
    Ok(())
}
