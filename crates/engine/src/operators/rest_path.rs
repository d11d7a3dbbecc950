//! `restpath`: a path in which `{name}` stands for what is to be an argument (`ARGS_PATH`). No IO.

/// A template in parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RestPath {
    /// The regular expression, with a group for each name.
    pub(crate) pattern: Vec<u8>,
    /// The names of the groups, in order.
    pub(crate) names: Box<[Box<[u8]>]>,
}

impl RestPath {
    /// Reads a template. As in Coraza, a name stands for anything, also for more than one segment, and the rest is a regular expression that
    /// may match anywhere.
    pub(crate) fn parse(template: &[u8]) -> Self {
        let (mut pattern, mut names) = (Vec::with_capacity(template.len()), Vec::new());
        let mut rest = template;
        while let Some(start) = rest.iter().position(|byte| *byte == b'{') {
            let (before, after) = rest.split_at(start);
            let Some(end) = after.iter().position(|byte| *byte == b'}').filter(|end| *end > 1) else {
                break;
            };
            pattern.extend_from_slice(before);
            pattern.extend_from_slice(b"(.*)");
            names.push(after.get(1..end).unwrap_or_default().into());
            rest = after.get(end + 1..).unwrap_or_default();
        }
        pattern.extend_from_slice(rest);
        Self {
            pattern,
            names: names.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_groups() {
        for (template, pattern, names) in [
            ("/shop/{kind}/{id}", "/shop/(.*)/(.*)", vec!["kind", "id"]),
            ("/shop", "/shop", vec![]),
            ("/a/{", "/a/{", vec![]),
            ("/a/{}", "/a/{}", vec![]),
        ] {
            let path = RestPath::parse(template.as_bytes());
            assert_eq!(path.pattern, pattern.as_bytes(), "{template}");
            let shown: Vec<_> = path.names.iter().map(|name| String::from_utf8_lossy(name)).collect();
            assert_eq!(shown, names, "{template}");
        }
    }
}
