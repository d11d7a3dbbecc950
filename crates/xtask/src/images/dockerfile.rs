//! That the Dockerfiles make the images that `cargo xtask images` assembles, and make them as images should be made. Reads files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Name, USER, config, labels};
use crate::{tools, workspace};

/// An instruction and what stands after it, continued lines joined.
type Instruction = (String, String);

fn instructions(name: Name) -> Vec<Instruction> {
    let (_, short) = name.text().split_once('-').unwrap();
    let text = std::fs::read_to_string(workspace::root().join(format!("Dockerfile.{short}"))).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.trim().split_once(' '));
    instructions
        .map(|(instruction, rest)| {
            (
                instruction.to_owned(),
                rest.split_whitespace().collect::<Vec<_>>().join(" "),
            )
        })
        .collect()
}

/// What stands after each instruction of this name.
fn of<'a>(instructions: &'a [Instruction], wanted: &str) -> Vec<&'a str> {
    let found = instructions.iter().filter(|(instruction, _)| instruction == wanted);
    found.map(|(_, rest)| rest.as_str()).collect()
}

/// The instructions of the last stage.
fn last_stage(instructions: &[Instruction]) -> &[Instruction] {
    let from = instructions.iter().rposition(|(instruction, _)| instruction == "FROM");
    &instructions[from.unwrap()..]
}

#[test]
fn the_last_stage_is_the_image_that_is_assembled() {
    for name in Name::ALL {
        let all = instructions(name);
        let stage = last_stage(&all);
        assert_eq!(of(stage, "FROM"), ["scratch"]);
        let copies: Vec<String> = name
            .files()
            .into_iter()
            .map(|(path, mode, _)| format!("--from=build --chmod={mode:04o} /out/{path} /{path}"))
            .collect();
        assert_eq!(of(stage, "COPY"), copies);
        assert_eq!(of(stage, "USER"), [USER]);
        let config = config(name);
        let entrypoint: Value = serde_json::from_str(of(stage, "ENTRYPOINT")[0]).unwrap();
        assert_eq!(entrypoint, config["Entrypoint"]);
        let ports: Vec<String> = name.ports().iter().map(u16::to_string).collect();
        assert_eq!(of(stage, "EXPOSE"), [ports.join(" ")]);
        assert_eq!(labelled(of(stage, "LABEL")[0]), labels(name));
        let known = ["FROM", "ARG", "LABEL", "COPY", "USER", "EXPOSE", "ENTRYPOINT"];
        for (instruction, _) in stage {
            assert!(
                known.contains(&instruction.as_str()),
                "{instruction}: there is no shell to run it"
            );
        }
    }
}

/// `name="value"` pairs. The version is an argument of the build.
fn labelled(text: &str) -> Value {
    let version = format!("=\"{}\"", env!("CARGO_PKG_VERSION"));
    let text = text.replace("=\"$VERSION\"", &version);
    let pairs = text
        .split("\" ")
        .map(|pair| pair.trim_end_matches('"').split_once("=\"").unwrap());
    json!(pairs.collect::<BTreeMap<_, _>>())
}

#[test]
fn what_is_built_with_is_pinned_and_nothing_is_fetched_by_url() {
    for name in Name::ALL {
        let all = instructions(name);
        let mut stages = vec!["scratch"];
        for from in of(&all, "FROM") {
            let words: Vec<&str> = from.split(' ').filter(|word| !word.starts_with("--")).collect();
            let tag = words[0].rsplit_once(':').map_or("", |(_, tag)| tag);
            let pinned = tag.starts_with(|first: char| first.is_ascii_digit());
            assert!(pinned || stages.contains(&words[0]), "{from}");
            stages.extend(words.last());
        }
        assert!(of(&all, "ADD").is_empty(), "{name:?}");
        let runs = of(&all, "RUN").join("\n");
        assert!(!runs.contains("curl") && !runs.contains("wget"), "{runs}");
    }
}

#[test]
fn versions_are_those_of_the_checkout() {
    let toolchain = std::fs::read_to_string(workspace::root().join("rust-toolchain.toml")).unwrap();
    let toolchain: toml::Table = toolchain.parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    for name in Name::ALL {
        let all = instructions(name);
        assert!(of(&all, "FROM").join("\n").contains(&format!("/rust:{channel}-")));
        let auditable = format!("cargo-auditable --locked --version {}", tools::cargo::AUDITABLE);
        assert!(of(&all, "RUN").join("\n").contains(&auditable));
    }
}

#[test]
fn whichever_is_built_second_finds_it_built() {
    let [one, other] = Name::ALL.map(instructions);
    let stages = |all: &[Instruction]| all[..all.len() - last_stage(all).len()].to_vec();
    assert_eq!(stages(&one), stages(&other));
}
