//! Checks the HTML of a page: stricter than a browser, which repairs errors, and limited to what
//! the explorer's pages use.

use std::collections::BTreeSet;

const VOID: [&str; 6] = ["meta", "link", "input", "br", "hr", "img"];

/// Elements that may not be inside a paragraph, because they end it.
const BLOCKS: [&str; 16] = [
    "p", "ul", "ol", "dl", "div", "table", "section", "nav", "form", "pre", "details", "h1", "h2", "h3",
    "main", "header",
];

/// The start tag of an element.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// A parsed page.
pub(crate) struct Document {
    pub(crate) tags: Vec<Tag>,
    /// The text between tags, with white space collapsed to single spaces.
    pub(crate) text: String,
}

impl Document {
    /// Parses a page.
    ///
    /// # Panics
    /// If it is malformed or not accessible.
    pub(crate) fn parse(html: &str) -> Document {
        let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("a page has a doctype");
        let mut document = Document { tags: Vec::new(), text: String::new() };
        let mut open: Vec<String> = Vec::new();
        while let Some((text, after)) = rest.split_once('<') {
            document.text.push_str(&unescaped(text));
            let (tag, after) = after.split_once('>').expect("every tag ends");
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(
                    open.pop().as_deref(),
                    Some(name),
                    "ends that were not begun, or too early: {html}"
                );
                continue;
            }
            let tag = parse_tag(tag);
            let in_paragraph = open.iter().any(|name| name == "p");
            assert!(!(in_paragraph && BLOCKS.contains(&tag.name.as_str())), "<{}> in a paragraph", tag.name);
            if !VOID.contains(&tag.name.as_str()) {
                open.push(tag.name.clone());
            }
            document.tags.push(tag);
        }
        assert!(open.is_empty(), "{open:?} do not end");
        document.text.push_str(&unescaped(rest));
        document.text = document.text.split_whitespace().collect::<Vec<_>>().join(" ");
        document.check();
        document
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Tag> {
        self.tags.iter().filter(move |tag| tag.name == name)
    }

    /// Addresses that the page links to or loads.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.tags.iter().filter_map(|tag| tag.get("href").or(tag.get("src")))
    }

    /// The element with an id.
    pub(crate) fn by_id(&self, id: &str) -> &Tag {
        let found = self.tags.iter().find(|tag| tag.get("id") == Some(id));
        found.unwrap_or_else(|| panic!("no element is called {id}"))
    }

    fn check(&self) {
        assert_eq!(self.all("html").next().unwrap().get("lang"), Some("en"));
        assert_eq!(self.all("h1").count(), 1, "one heading of the whole");
        assert_eq!(self.all("main").count(), 1);
        let mut level = 0;
        for tag in &self.tags {
            if let Some(found) = tag.name.strip_prefix('h').and_then(|level| level.parse::<u8>().ok()) {
                assert!(found <= level + 1, "<h{found}> after <h{level}>");
                level = found;
            }
        }
        let ids: Vec<&str> = self.tags.iter().filter_map(|tag| tag.get("id")).collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "ids are unique: {ids:?}");
        for tag in &self.tags {
            for name in ["aria-labelledby", "for"] {
                assert!(
                    tag.get(name).is_none_or(|id| unique.contains(id)),
                    "{tag:?} names what is not there"
                );
            }
            if let Some(target) = tag.get("href").and_then(|href| href.strip_prefix('#')) {
                assert!(unique.contains(target), "{tag:?}");
            }
            for (name, _) in &tag.attributes {
                assert!(!name.starts_with("on") && name != "style", "the policy forbids {name} in {tag:?}");
            }
        }
        assert!(self.all("script").all(|script| script.get("src").is_some()), "no script in the page");
        assert_eq!(self.all("style").count(), 0, "no style in the page");
        assert!(self.all("th").all(|cell| cell.get("scope").is_some()), "header cells have a scope");
        assert_eq!(self.all("table").count(), self.all("caption").count(), "tables have captions");
        let labelled: BTreeSet<_> = self.all("label").filter_map(|label| label.get("for")).collect();
        for field in self.all("input").chain(self.all("meter")) {
            let label = field.get("id").is_some_and(|id| labelled.contains(id));
            assert!(label || field.get("aria-labelledby").is_some(), "{field:?} has no label");
        }
    }
}

fn parse_tag(tag: &str) -> Tag {
    let end = tag.find(char::is_whitespace).unwrap_or(tag.len());
    let (name, mut rest) = (&tag[..end], tag[end..].trim());
    assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "<{tag}>");
    let mut attributes: Vec<(String, String)> = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(|byte: char| byte == '=' || byte.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let value = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').unwrap_or_else(|| panic!("<{tag}>"));
                rest = after.trim_start();
                unescaped(value)
            }
            None => {
                assert!(!after.starts_with('='), "a value without quotes: <{tag}>");
                rest = after.trim_start();
                String::new()
            }
        };
        assert!(attributes.iter().all(|(other, _)| other != name), "{name} twice: <{tag}>");
        attributes.push((name.to_owned(), value));
    }
    Tag { name: name.to_owned(), attributes }
}

/// Text with its few entities resolved.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    assert!(!text.contains('>'), "a bare > in {text:?}");
    for piece in pieces {
        let (entity, rest) = piece.split_once(';').unwrap_or_else(|| panic!("a bare & in {text:?}"));
        let character = match entity {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            _ => entity.strip_prefix('#').and_then(|code| code.parse().ok()).and_then(char::from_u32),
        };
        plain.push(character.unwrap_or_else(|| panic!("&{entity}; is unknown")));
        plain.push_str(rest);
    }
    plain
}
