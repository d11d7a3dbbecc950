//! From when and until when certificates are good, as metrics. No IO.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::x509::Validity;

/// When the certificates that somebody uses are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// The certificate that is shown: of its chain, the one that ends first.
    pub certificate: Validity,
    /// The CAs that peers are verified by: the one that ends last, since the others are on their way out.
    pub authority: Option<Validity>,
}

type Source = Box<dyn Fn() -> Option<Expiry> + Send + Sync>;
/// A metric's name, its help, and what it tells.
type Family = (&'static str, &'static str, fn(&Validity) -> i64);

/// The certificates that a process uses. A clone is another handle on the same.
#[derive(Clone, Default)]
pub struct Expiries(Arc<Mutex<Vec<(&'static str, Source)>>>);

impl std::fmt::Debug for Expiries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expiries")
    }
}

impl Expiries {
    /// Adds those that are used for `listener`: `grpc`, `http` or `metrics`.
    pub fn add(&self, listener: &'static str, expiry: impl Fn() -> Option<Expiry> + Send + Sync + 'static) {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push((listener, Box::new(expiry)));
    }

    /// Adds the metrics. Certificates that aren't there have no samples: that they are waited for is said by readiness.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }
}

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Vec<_> = sources
            .iter()
            .filter_map(|(listener, source)| Some((*listener, source()?)))
            .collect();
        let families: [Family; 2] = [
            (
                "coraza_certificate_expiry_timestamp_seconds",
                "Time at which a certificate in use expires",
                |validity| validity.not_after,
            ),
            (
                "coraza_certificate_start_timestamp_seconds",
                "Time from which a certificate in use is good",
                |validity| validity.not_before,
            ),
        ];
        for (name, help, time) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (listener, Expiry { certificate, authority }) in &known {
                for (file, validity) in [("tls.crt", Some(certificate)), ("ca.crt", authority.as_ref())] {
                    let Some(validity) = validity else { continue };
                    let labels = [("file", file), ("listener", *listener)];
                    ConstGauge::new(time(validity)).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn each_certificate_that_is_there_has_samples() {
        let expiries = Expiries::default();
        let mut registry = Registry::default();
        expiries.register(&mut registry);
        let validity = |not_before, not_after| Validity { not_before, not_after };
        let known = Expiry {
            certificate: validity(4, 5),
            authority: Some(validity(1, 9)),
        };
        expiries.add("grpc", move || Some(known));
        let alone = Expiry {
            authority: None,
            ..known
        };
        expiries.add("http", move || Some(alone));
        expiries.add("metrics", || None);
        let mut text = String::new();
        encode(&mut text, &registry).expect("encoded");
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"coraza_certificate_expiry_timestamp_seconds{file="tls.crt",listener="grpc"} 5"#,
                r#"coraza_certificate_expiry_timestamp_seconds{file="ca.crt",listener="grpc"} 9"#,
                r#"coraza_certificate_expiry_timestamp_seconds{file="tls.crt",listener="http"} 5"#,
                r#"coraza_certificate_start_timestamp_seconds{file="tls.crt",listener="grpc"} 4"#,
                r#"coraza_certificate_start_timestamp_seconds{file="ca.crt",listener="grpc"} 1"#,
                r#"coraza_certificate_start_timestamp_seconds{file="tls.crt",listener="http"} 4"#,
            ]
        );
    }
}
