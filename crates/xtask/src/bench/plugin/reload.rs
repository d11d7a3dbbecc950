//! What reloads add to requests that come at a fixed rate.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::load::at_rate;
use super::proxy::{Proxy, Setup};
use super::rules::RulesServer;
use super::{Export, Tools, export};
use crate::bench::delivery::percentile;
use crate::bench::figure::{Figure, Target};

/// As E.3 of the operator's Go counterpart calls it: low-rate-200qps.
const EVERY: Duration = Duration::from_millis(5);
/// How much p99 a reload may add, in milliseconds.
const RELOAD_MS: f64 = 10.0;
/// Enough for a p99 of some twenty requests.
const REQUESTS: u32 = 2_000;
const RELOADS: usize = 10;

/// What reloads add to requests that come at a fixed rate to a pod of one worker.
pub(super) async fn measure(tools: &Tools, upstream: u16, dir: &Path) -> Result<()> {
    let Export { rules, .. } = export(4).await?;
    let mut server = RulesServer::start(&rules).await?;
    let caches = [server.port];
    let proxy = Proxy::start(dir, &Setup::new(tools, &caches, upstream)).await?;
    let path = || "/products/list?page=2".to_owned();
    let still = at_rate(proxy.filtered, path(), EVERY, REQUESTS).await?;
    let under_way = at_rate(proxy.filtered, path(), EVERY, REQUESTS);
    let reloads = async {
        for edit in 1..=RELOADS {
            server.publish(&rules.edited(edit))?;
            let next = tokio::time::sleep(EVERY * REQUESTS / u32::try_from(RELOADS)?);
            proxy.until_loads(u64::try_from(edit)? + 1).await?;
            next.await;
        }
        anyhow::Ok(())
    };
    let (reloading, done) = tokio::join!(under_way, reloads);
    done?;
    let reloading = reloading?;
    for percent in [50, 99] {
        let [still, reloading] = [&still, &reloading].map(|times| percentile(times, percent).map(milliseconds));
        let (still, reloading) = (still?, reloading?);
        let target = if percent == 99 {
            Target::AtMost(RELOAD_MS)
        } else {
            Target::None
        };
        println!(
            "{}",
            Figure::alone(&format!("plugin/still-p{percent}"), still, "ms", Target::None)
        );
        println!(
            "{}",
            Figure::alone(
                &format!("plugin/reload-added-p{percent}"),
                reloading - still,
                "ms",
                target
            )
        );
    }
    let slowest = reloading.last().copied().map(milliseconds).context("no requests")?;
    println!(
        "{}",
        Figure::alone("plugin/reload-slowest", slowest, "ms", Target::None)
    );
    let step = proxy.longest_step()? as f64;
    println!(
        "{}",
        Figure::alone("plugin/load-longest-step", step, "ms", Target::None)
    );
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
