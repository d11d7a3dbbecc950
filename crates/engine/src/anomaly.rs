//! `AnomalyScores`: what rules that count, such as the Core Rule Set, have come to. No IO.

use coraza_seclang::rules::Variable;

use crate::operators::number;
use crate::transaction::State;

/// What a transaction's anomalies add up to. The engine knows of scores only what the Core Rule Set keeps in `TX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnomalyScores {
    /// Of the request; `None` if the rules keep none.
    pub inbound: Option<u64>,
    /// Of the response.
    pub outbound: Option<u64>,
}

/// The total that the rules block by, and before it is known the parts that it is the sum of: Core Rule Set 4, then 3.
const INBOUND: [(&[u8], [&[u8]; 4]); 2] = [
    (
        b"blocking_inbound_anomaly_score",
        [
            b"inbound_anomaly_score_pl1",
            b"inbound_anomaly_score_pl2",
            b"inbound_anomaly_score_pl3",
            b"inbound_anomaly_score_pl4",
        ],
    ),
    (
        b"anomaly_score",
        [
            b"anomaly_score_pl1",
            b"anomaly_score_pl2",
            b"anomaly_score_pl3",
            b"anomaly_score_pl4",
        ],
    ),
];
const OUTBOUND: [(&[u8], [&[u8]; 4]); 2] = [
    (
        b"blocking_outbound_anomaly_score",
        [
            b"outbound_anomaly_score_pl1",
            b"outbound_anomaly_score_pl2",
            b"outbound_anomaly_score_pl3",
            b"outbound_anomaly_score_pl4",
        ],
    ),
    (
        b"outbound_anomaly_score",
        [
            b"outbound_anomaly_score_pl1",
            b"outbound_anomaly_score_pl2",
            b"outbound_anomaly_score_pl3",
            b"outbound_anomaly_score_pl4",
        ],
    ),
];

impl State {
    /// The scores so far.
    pub(crate) fn anomaly_scores(&self) -> AnomalyScores {
        AnomalyScores {
            inbound: INBOUND.iter().find_map(|(total, parts)| self.score(total, parts)),
            outbound: OUTBOUND.iter().find_map(|(total, parts)| self.score(total, parts)),
        }
    }

    fn score(&self, total: &[u8], parts: &[&[u8]]) -> Option<u64> {
        let read = |name: &[u8]| {
            let value = self.variables.find(Variable::Tx, name)?;
            Some(u64::try_from(number::parse(value)).unwrap_or_default())
        };
        let mut known = parts.iter().filter_map(|part| read(part)).peekable();
        let sum = known.peek().is_some().then(|| known.fold(0, u64::saturating_add));
        // The total is 0 until the rules that block have added the parts up.
        read(total).max(sum)
    }
}
