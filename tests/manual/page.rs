//! A function's page in mdoc(7), of its comment, the records that it concerns, and its example.

use super::comment::{Function, Record};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What a code without a cause of its own means for every function.
pub fn cause_of_all(code: &str, codes: &[(String, String)]) -> Option<&'static str> {
    let memory = codes.iter().any(|(code, _)| code == "ERROR_NOT_ENOUGH_MEMORY");
    match code {
        "NO_ERROR" => Some("It is done."),
        "ERROR_NOT_ENOUGH_MEMORY" => Some("Memory ran out; nothing has changed."),
        "ERROR_CAN_NOT_COMPLETE" if memory => Some("For one of the reasons below."),
        "ERROR_CAN_NOT_COMPLETE" => Some("Memory ran out, or for one of the reasons below."),
        _ => None,
    }
}

/// The program of an example: what stands between its include and what it prints.
pub fn code(source: &str) -> &str {
    let (_, rest) = source.split_once("#include \"example.h\"\n").expect("example.h");
    rest.split_once("/* prints\n").map_or(rest, |(code, _)| code).trim_matches('\n')
}

/// What an example prints, by the comment at its end.
pub fn printed(source: &str) -> Option<&str> {
    Some(source.split_once("/* prints\n")?.1.split_once("*/").expect("its end").0)
}

/// What an example shows: the comment at its beginning.
fn shown(source: &str) -> String {
    let (comment, _) =
        source.strip_prefix("/*").expect("a comment").split_once("*/").expect("its end");
    comment.split_whitespace().collect::<Vec<_>>().join(" ").replace(" * ", " ")
}

struct Page<'a> {
    text: String,
    function: &'a Function,
    functions: &'a [&'a str],
    others: BTreeSet<&'a str>,
}

fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

impl<'a> Page<'a> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Words of the C interface in other letters: this function's name and parameters, and other functions.
    fn marked(&mut self, word: &str) -> String {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = word.find(is_part).unwrap_or(0);
        let end = word[start..].find(|c| !is_part(c)).map_or(word.len(), |length| start + length);
        let (before, name, after) = (&word[..start], &word[start..end], &word[end..]);
        if let Some(other) = self.functions.iter().find(|other| **other == name) {
            if *other == self.function.name {
                return format!("{before}\\fB{name}\\fP{after}");
            }
            self.others.insert(other);
            return format!("{before}\\fB{name}\\fP(3){after}");
        }
        if self.function.parameters.iter().any(|parameter| parameter.name == name) {
            return format!("{before}\\fI{name}\\fP{after}");
        }
        // A function of the C library.
        if !name.is_empty() && after.starts_with("()") {
            return format!("{before}\\fB{name}\\fP{after}");
        }
        word.to_owned()
    }

    /// A paragraph, each sentence on a line of its own.
    fn paragraph(&mut self, text: &str) {
        let words: Vec<_> = text.split(' ').collect();
        let mut line = String::new();
        for (at, word) in words.iter().enumerate() {
            let marked = self.marked(&word.replace('\\', "\\e"));
            if !line.is_empty() && line.len() + marked.len() >= 78 {
                let whole = std::mem::take(&mut line);
                self.line(&whole);
            }
            if !line.is_empty() {
                line.push(' ');
            } else if marked.starts_with(['.', '\'']) {
                line.push_str("\\&");
            }
            line.push_str(&marked);
            let next = words.get(at + 1).and_then(|next| next.chars().next());
            let ends = word.ends_with('.')
                && next.is_none_or(|c| c.is_uppercase() || c == '*' || c == '(');
            if ends || at + 1 == words.len() {
                let whole = std::mem::take(&mut line);
                self.line(&whole);
            }
        }
    }

    fn paragraphs(&mut self, texts: &[String]) {
        for (at, text) in texts.iter().enumerate() {
            if at > 0 {
                self.line(".Pp");
            }
            self.paragraph(text);
        }
    }
}

/// The records that the function's types and comment name, and those that they are made of.
fn records_of<'a>(function: &Function, records: &'a [Record]) -> Vec<&'a Record> {
    let mut text: String = function.comment.text.join(" ");
    for parameter in &function.parameters {
        let kind = parameter.kind.trim_start_matches("const ").trim_end_matches([' ', '*']);
        let _ = write!(
            text,
            " {kind} {} {}",
            kind.strip_prefix('P').unwrap_or(kind),
            function.comment.text_of(&parameter.name)
        );
    }
    let mut found: Vec<&Record> = Vec::new();
    let mut texts = vec![text];
    while let Some(text) = texts.pop() {
        let words: BTreeSet<_> =
            text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
        for record in records.iter().filter(|record| words.contains(record.name.as_str())) {
            if found.iter().all(|other| other.name != record.name) {
                found.push(record);
                texts.push(
                    record
                        .members
                        .iter()
                        .map(|(member, _)| member.as_str())
                        .collect::<Vec<_>>()
                        .join(" "),
                );
            }
        }
    }
    found
}

/// The line that apropos(1) shows: the comment's first sentence.
fn purpose(function: &Function) -> String {
    let first = function.comment.text.first().map_or("", String::as_str);
    let sentence = first.split_once(". ").map_or(first, |(sentence, _)| sentence);
    let short = sentence.split_once(": ").map_or(sentence, |(short, _)| short);
    let mut short = short.trim_end_matches('.').to_owned();
    short[..1].make_ascii_lowercase();
    short
}

pub fn page(function: &Function, records: &[Record], functions: &[&str], example: &str) -> String {
    let Function { header, name, parameters, comment } = function;
    let mut page = Page { text: String::new(), function, functions, others: BTreeSet::new() };
    page.line(".\\\" SPDX-License-Identifier: MIT OR Apache-2.0");
    page.line(".\\\" Made of the comments in src/ffi and of c-tests/examples by `make manual`: change those.");
    page.line(".Dd November 29, 2026");
    page.line(&format!(".Dt {} 3", name.to_uppercase()));
    page.line(".Os libmgm");
    page.line(".Sh NAME");
    page.line(&format!(".Nm {name}\n.Nd {}", purpose(function)));
    page.line(".Sh LIBRARY\nMulticast group manager (libmgm, \\-lmgm)");
    page.line(&format!(".Sh SYNOPSIS\n.In {header}\n.Ft DWORD\n.Fo {name}"));
    if parameters.is_empty() {
        page.line(".Fa \"void\"");
    }
    for parameter in parameters {
        page.line(&format!(".Fa \"{}\"", parameter.declaration));
    }
    page.line(".Fc\n.Sh DESCRIPTION");
    page.paragraphs(&comment.text);
    if !comment.parameters.is_empty() {
        page.line(".Bl -tag -width Ds");
        for (names, text) in &comment.parameters {
            page.line(&format!(".It Fa {}", names.join(" , ")));
            page.paragraph(&capital(text));
        }
        page.line(".El");
    }
    if !comment.pre.is_empty() {
        page.line(".Pp");
        page.paragraph(&format!("The caller sees to this: {}", comment.pre));
    }
    for record in records_of(function, records) {
        page.line(&format!(".Ss {}", record.name));
        page.paragraphs(&record.text);
        page.line(".Bl -tag -width Ds");
        for (member, text) in &record.members {
            page.line(&format!(".It Vt \"{member}\""));
            page.paragraph(text);
        }
        page.line(".El");
    }
    page.line(".Sh CALLBACKS AND THREADS");
    page.paragraphs(&comment.callbacks);
    page.line(".Pp");
    page.line("The function may be called on any thread, from inside any callback too.");
    page.line("Hold no lock across it that one of your callbacks takes; see");
    page.line(".Xr mgm 7 .");
    page.line(".Sh RETURN VALUES");
    page.line(".Bl -tag -width Ds");
    for (code, cause) in &comment.codes {
        page.line(&format!(".It Dv {code}"));
        let cause = if cause.is_empty() {
            cause_of_all(code, &comment.codes).unwrap_or_default()
        } else {
            cause
        };
        let stop = if cause.ends_with('.') { "" } else { "." };
        page.paragraph(&format!("{}{stop}", capital(cause)));
    }
    page.line(".El\n.Pp");
    page.line("Every function also gives");
    page.line(".Dv ERROR_CAN_NOT_COMPLETE");
    page.line("after a fault inside the library, in a child of");
    page.line(".Xr fork 2 ,");
    page.line("and in a client process whose host has gone.");
    page.line("As a rule a line in the log says why a call failed.");
    page.line(".Sh EXAMPLES");
    if code(example).contains("me,") || code(example).contains("me)") {
        page.line("The client");
        page.line(".Va me");
        page.line("has taken the interfaces 1 and 2 of the memory forwarder;");
        page.line(".Fn must");
        page.line("ends the program where a call gives something else than");
        page.line(".Dv NO_ERROR .");
        page.line(".Pp");
    }
    page.paragraph(&shown(example));
    page.line(".Bd -literal");
    for line in code(example).lines() {
        page.line(&escaped(line));
    }
    page.line(".Ed");
    if let Some(printed) = printed(example) {
        page.line(".Pp\nIt prints:");
        page.line(".Bd -literal");
        for line in printed.lines() {
            page.line(&escaped(line));
        }
        page.line(".Ed");
    }
    page.line(".Sh SEE ALSO");
    let mut others: Vec<_> = page.others.iter().map(|name| format!("{name} 3")).collect();
    others.push("mgm_callbacks 3".to_owned());
    others.sort_by_key(|name| name.to_lowercase());
    others.push("mgm 7".to_owned());
    if comment.text.iter().any(|text| text.contains("mgm_control(7)")) {
        others.push("mgm_control 7".to_owned());
    }
    for (at, other) in others.iter().enumerate() {
        let comma = if at + 1 == others.len() { "" } else { " ," };
        page.line(&format!(".Xr {other}{comma}"));
    }
    page.text
}

/// A text that begins like a sentence, unless it begins with a name of the interface.
fn capital(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    let name = word.chars().skip(1).any(|c| c.is_uppercase() || c == '_');
    let mut text = text.to_owned();
    if !name && !text.is_empty() && text.is_char_boundary(1) {
        text[..1].make_ascii_uppercase();
    }
    text
}
