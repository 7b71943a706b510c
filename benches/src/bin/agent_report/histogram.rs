//! Histograms of Prometheus, read from their text.

use std::time::Duration;

use anyhow::{Result, bail};

/// Upper bounds in seconds with the observations up to each, in ascending order.
pub(crate) struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    pub(crate) fn read(text: &str, name: &str) -> Result<Histogram> {
        let start = format!("{name}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, count.trim().parse().ok()?))
        };
        let buckets: Vec<(f64, u64)> = text.lines().filter_map(bucket).collect();
        if buckets.is_empty() {
            bail!("the agent has no metric {name}");
        }
        Ok(Histogram(buckets))
    }

    /// What was observed after `before`.
    pub(crate) fn since(&self, before: &Histogram) -> Histogram {
        let pairs = self.0.iter().zip(&before.0);
        Histogram(pairs.map(|((bound, now), (_, then))| (*bound, now - then)).collect())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// Between which bounds the quantile lies.
    pub(crate) fn quantile(&self, quantile: f64) -> String {
        if self.count() == 0 {
            return "nothing was observed".to_owned();
        }
        let wanted = (self.count() as f64 * quantile).ceil() as u64;
        let at = self.0.partition_point(|(_, count)| *count < wanted.max(1));
        let text = |seconds: f64| format!("{:.2?}", Duration::from_secs_f64(seconds));
        let low = at.checked_sub(1).map_or(0.0, |at| self.0[at].0);
        match self.0.get(at) {
            Some((bound, _)) if bound.is_finite() => format!("{} to {}", text(low), text(*bound)),
            _ => format!("above {}", text(low)),
        }
    }
}
