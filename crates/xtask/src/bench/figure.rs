//! `Figure`: a measured number, what it is compared with, and the line that says so. Pure.

use std::fmt;

/// A measured number.
pub(super) struct Figure {
    name: String,
    value: f64,
    unit: String,
    peer: Option<(String, f64)>,
    target: Target,
}

/// What a figure should be.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// At least so many times the peer's.
    Ratio(f64),
    /// At most so many times the peer's.
    RatioAtMost(f64),
    /// At most this, in the figure's unit.
    AtMost(f64),
    /// At least this, in the figure's unit.
    AtLeast(f64),
    /// Whatever it is.
    None,
}

impl Figure {
    pub(super) fn beside(name: &str, value: f64, unit: &str, peer: (&str, f64), target: Target) -> Self {
        let peer = Some((peer.0.to_owned(), peer.1));
        Self {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            peer,
            target,
        }
    }

    pub(super) fn alone(name: &str, value: f64, unit: &str, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            peer: None,
            target,
        }
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|(_, value)| self.value / value)
    }

    /// Whether the target is. A peer that did not run is none that was beaten.
    pub(super) fn is_reached(&self) -> bool {
        match self.target {
            Target::Ratio(least) => self.ratio().is_some_and(|ratio| ratio.is_finite() && ratio >= least),
            Target::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
            Target::None => true,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of small numbers a decimal: 4 and 5 ms aren't a quarter apart.
        let decimals = usize::from(self.value < 10.0);
        write!(f, "bench {} {:.decimals$} {}", self.name, self.value, self.unit)?;
        if let (Some((peer, value)), Some(ratio)) = (&self.peer, self.ratio()) {
            write!(f, " peer {peer} {value:.0} ratio {ratio:.2}")?;
        }
        match self.target {
            Target::Ratio(least) | Target::AtLeast(least) => write!(f, " target >={least}")?,
            Target::RatioAtMost(most) => write!(f, " target <={most}")?,
            Target::AtMost(most) => {
                let decimals = usize::from(most < 10.0 && most.fract() != 0.0);
                write!(f, " target <={most:.decimals$}")?;
            }
            Target::None => return Ok(()),
        }
        f.write_str(if self.is_reached() { " ok" } else { " miss" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let beside = |value, peer| {
            Figure::beside(
                "cache/latest-200",
                value,
                "requests/s",
                ("nginx", peer),
                Target::Ratio(1.5),
            )
            .to_string()
        };
        assert_eq!(
            beside(90_000.0, 45_000.0),
            "bench cache/latest-200 90000 requests/s peer nginx 45000 ratio 2.00 target >=1.5 ok"
        );
        assert!(beside(60_000.0, 45_000.0).ends_with("ratio 1.33 target >=1.5 miss"));
        assert!(beside(60_000.0, 0.0).ends_with(" miss"));
        let faster = |value| {
            let target = Target::RatioAtMost(0.3);
            Figure::beside("engine/get", value, "us", ("libmodsecurity", 800.0), target).to_string()
        };
        assert_eq!(
            faster(80.0),
            "bench engine/get 80 us peer libmodsecurity 800 ratio 0.10 target <=0.3 ok"
        );
        assert!(faster(400.0).ends_with("ratio 0.50 target <=0.3 miss"));
        let alone = |value| Figure::alone("cache/memory", value, "MiB", Target::AtMost(22.0)).to_string();
        assert_eq!(alone(18.4), "bench cache/memory 18 MiB target <=22 ok");
        assert!(alone(22.1).ends_with(" miss"));
        let share = |target| Figure::alone("engine/never-started", 94.96, "%", target).to_string();
        assert_eq!(
            share(Target::AtLeast(95.0)),
            "bench engine/never-started 95 % target >=95 miss"
        );
        assert_eq!(share(Target::None), "bench engine/never-started 95 %");
        assert_eq!(alone(4.44), "bench cache/memory 4.4 MiB target <=22 ok");
    }
}
