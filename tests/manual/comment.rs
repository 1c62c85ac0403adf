//! The headers' declarations and what the comments before them say.

/// A function of a header.
pub struct Function {
    pub header: &'static str,
    pub name: String,
    pub parameters: Vec<Parameter>,
    pub comment: Comment,
}

pub struct Parameter {
    /// The declaration, as in C.
    pub declaration: String,
    /// Its type.
    pub kind: String,
    pub name: String,
}

/// A record with its members.
pub struct Record {
    pub name: String,
    pub text: Vec<String>,
    /// The member's declaration, and what its comment says.
    pub members: Vec<(String, String)>,
}

/// A function's comment, by its parts. Each text is one line.
#[derive(Default)]
pub struct Comment {
    /// The paragraphs before everything else.
    pub text: Vec<String>,
    /// `@param`: names, and what they are.
    pub parameters: Vec<(Vec<String>, String)>,
    /// `@par Callbacks and threads`.
    pub callbacks: Vec<String>,
    /// `@return`: each code with its cause, which may be empty.
    pub codes: Vec<(String, String)>,
    /// `@pre`.
    pub pre: String,
}

impl Comment {
    pub fn text_of(&self, parameter: &str) -> &str {
        let found =
            self.parameters.iter().find(|(names, _)| names.iter().any(|name| name == parameter));
        found.map_or("", |(_, text)| text)
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for block in blocks(text) {
            if let Some(rest) = block.strip_prefix("@param ") {
                let (names, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let names = names.split(',').map(str::to_owned).collect();
                found.parameters.push((names, text.to_owned()));
            } else if let Some(rest) = block.strip_prefix("@par Callbacks and threads") {
                found.callbacks.push(rest.trim().to_owned());
            } else if block == "@return" {
            } else if let Some(rest) = block.strip_prefix("- ") {
                let (code, cause) = rest.split_once(": ").unwrap_or((rest, ""));
                found.codes.push((code.to_owned(), cause.to_owned()));
            } else if let Some(rest) = block.strip_prefix("@pre ") {
                found.pre = rest.to_owned();
            } else {
                assert!(!block.starts_with('@') && found.parameters.is_empty(), "{block}");
                found.text.push(block);
            }
        }
        found
    }
}

/// The paragraphs of a comment, each `@` and each item of a list one of its own, without line ends.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let line = line.trim().trim_start_matches("/**").trim_end_matches("*/").trim();
        let line = line.strip_prefix('*').unwrap_or(line).trim();
        if line.is_empty() {
            open = false;
        } else if open && !line.starts_with('@') && !line.starts_with("- ") {
            let last = blocks.last_mut().expect("an open block");
            last.push(' ');
            last.push_str(line);
        } else {
            blocks.push(line.to_owned());
            open = true;
        }
    }
    blocks
}

/// The comment that ends where a declaration begins.
fn comment_before(text: &str) -> &str {
    let text = text.trim_end();
    if text.ends_with("*/") { &text[text.rfind("/*").expect("its start")..] } else { "" }
}

fn parameter(declaration: &str) -> Parameter {
    let declaration = declaration.split_whitespace().collect::<Vec<_>>().join(" ");
    let at = declaration.rfind([' ', '*']).expect("a type and a name") + 1;
    let (kind, name) = declaration.split_at(at);
    Parameter { kind: kind.trim().to_owned(), name: name.to_owned(), declaration }
}

pub fn functions(header: &'static str, text: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, start) in text.match_indices("\nDWORD Mgm") {
        let (name, rest) = text[at + "\nDWORD ".len()..].split_once('(').expect(start);
        let (parameters, _) = rest.split_once(");").expect("its end");
        let parameters = match parameters {
            "void" => Vec::new(),
            parameters => parameters.split(',').map(parameter).collect(),
        };
        let comment = Comment::parse(comment_before(&text[..at]));
        found.push(Function { header, name: name.to_owned(), parameters, comment });
    }
    found
}

pub fn records(text: &str) -> Vec<Record> {
    let mut found = Vec::new();
    for (at, start) in text.match_indices("\nstruct _") {
        let (name, rest) = text[at + start.len()..].split_once(" {\n").expect("its members");
        let (body, _) = rest.split_once("\n};").expect("its end");
        let mut members = Vec::new();
        let mut before = 0;
        for (end, _) in body
            .match_indices(';')
            .filter(|(end, _)| body[end + 1..].starts_with('\n') || end + 1 == body.len())
        {
            let comment_end = before + body[before..end].rfind("*/").map_or(0, |at| at + 2);
            let declaration =
                body[comment_end..end].split_whitespace().collect::<Vec<_>>().join(" ");
            // A semicolon at a line's end inside a comment ends no member.
            if body[before..end].matches("/*").count() > body[before..end].matches("*/").count() {
                continue;
            }
            members.push((declaration, blocks(&body[before..comment_end]).join(" ")));
            before = end + 1;
        }
        found.push(Record {
            name: name.to_owned(),
            text: blocks(comment_before(&text[..at])),
            members,
        });
    }
    found
}
