//! Answers to questions of names (RFC 1035). No IO: a datagram in, a datagram out.

use std::net::Ipv4Addr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// How many seconds an answer may be remembered: CoreDNS's default.
const LIFETIME: u32 = 5;

/// The answer to a question of one name. What is no such question gets none.
pub(super) fn answer(question: &[u8], address: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let packet = Packet::parse(question).ok()?;
    let [question] = packet.questions.as_slice() else {
        return None;
    };
    let question = question.clone();
    let mut reply = packet.into_reply();
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    match address(&question.qname.to_string().to_ascii_lowercase()) {
        Some(address) if question.qtype == QTYPE::TYPE(TYPE::A) => {
            let data = RData::A(address.into());
            reply
                .answers
                .push(ResourceRecord::new(question.qname, CLASS::IN, LIFETIME, data));
        }
        // A name that is there, without what was asked for.
        Some(_) => {}
        None => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.build_bytes_vec().ok()
}

#[cfg(test)]
mod tests {
    use simple_dns::{Name, QCLASS, Question};

    use super::*;

    const WEB: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 7);

    fn ask(name: &str, kind: TYPE) -> (RCODE, Vec<Ipv4Addr>) {
        let mut packet = Packet::new_query(7);
        let name = Name::new(name).unwrap();
        packet
            .questions
            .push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        let question = packet.build_bytes_vec().unwrap();
        let answer = answer(&question, |name| (name == "web.shop.svc.cluster.local").then_some(WEB));
        let answer = answer.unwrap();
        let packet = Packet::parse(&answer).unwrap();
        assert_eq!((packet.id(), packet.questions.len()), (7, 1));
        let addresses = packet.answers.iter().filter_map(|record| match &record.rdata {
            RData::A(a) => Some(Ipv4Addr::from(a.clone())),
            _ => None,
        });
        (packet.rcode(), addresses.collect())
    }

    #[test]
    fn a_name_that_is_there_has_an_address_and_no_other_has() {
        assert_eq!(ask("web.shop.svc.cluster.local", TYPE::A), (RCODE::NoError, vec![WEB]));
        assert_eq!(ask("WEB.shop.svc.cluster.local", TYPE::A), (RCODE::NoError, vec![WEB]));
        assert_eq!(ask("web.shop.svc.cluster.local", TYPE::AAAA), (RCODE::NoError, vec![]));
        assert_eq!(ask("web.shop.svc", TYPE::A), (RCODE::NameError, vec![]));
        assert_eq!(answer(b"nonsense", |_| Some(WEB)), None);
    }
}
