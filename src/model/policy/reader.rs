//! Reads tables of the policy key by key, keeping account of what was asked for, found and wrong.
//!
//! Invariants: every key that exists is either asked for or reported as unknown; every value that
//! comes out is recorded with where it came from; a fault never stops the reading.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::fault::{Bad, Fault, Lines};
use super::settings::{Origin, Setting};
use crate::model::text::nearest;

/// More faults than this help nobody, and placing each costs time.
pub const MAX_FAULTS: usize = 100;

/// Shared by all sections of one file.
#[derive(Debug)]
pub struct Reader<'a> {
    lines: Lines<'a>,
    faults: RefCell<Vec<Fault>>,
    settings: RefCell<Vec<Setting>>,
    spans: RefCell<BTreeMap<String, Range<usize>>>,
}

impl<'a> Reader<'a> {
    pub fn new(lines: Lines<'a>) -> Self {
        Self {
            lines,
            faults: RefCell::default(),
            settings: RefCell::default(),
            spans: RefCell::default(),
        }
    }

    pub fn finish(self) -> (Vec<Fault>, Vec<Setting>) {
        (self.faults.into_inner(), self.settings.into_inner())
    }

    pub fn is_sound(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    /// A fault at a key that was read before (or at the nearest of its parents that exists).
    pub fn fault_at(&self, key: &str, bad: Bad) {
        let spans = self.spans.borrow();
        let mut at = key;
        let span = loop {
            match spans.get(at) {
                Some(span) => break span.clone(),
                None => match at.rfind(['.', '[']) {
                    Some(cut) => at = &at[..cut],
                    None => break 0..0,
                },
            }
        };
        drop(spans);
        self.push(key.to_owned(), span, bad);
    }

    /// Whether the file itself has this key.
    pub fn is_written(&self, key: &str) -> bool {
        self.spans.borrow().contains_key(key)
    }

    fn push(&self, key: String, span: Range<usize>, bad: Bad) {
        if self.faults.borrow().len() >= MAX_FAULTS {
            return;
        }
        let (line, column) = self.lines.place(span.start);
        let text = if bad.hide {
            String::new()
        } else {
            self.lines.excerpt(&span)
        };
        self.faults.borrow_mut().push(Fault {
            line,
            column,
            key,
            text,
            reason: bad.reason,
            suggestion: bad.suggestion,
        });
    }

    fn remember(&self, key: &str, span: &Range<usize>) {
        self.spans.borrow_mut().insert(key.to_owned(), span.clone());
    }

    fn record(&self, key: String, value: String, origin: Origin) {
        self.settings
            .borrow_mut()
            .push(Setting { key, value, origin });
    }

    fn line(&self, span: &Range<usize>) -> Origin {
        Origin::Line(self.lines.place(span.start).0)
    }
}

/// One table of the file, present or not.
#[derive(Debug)]
pub struct Section<'r> {
    reader: &'r Reader<'r>,
    path: String,
    table: Option<&'r DeTable<'r>>,
    at: Range<usize>,
    known: RefCell<Vec<&'static str>>,
}

impl<'r> Section<'r> {
    pub fn root(reader: &'r Reader<'r>, table: &'r DeTable<'r>) -> Self {
        Self::new(reader, String::new(), Some(table), 0..0)
    }

    fn new(
        reader: &'r Reader<'r>,
        path: String,
        table: Option<&'r DeTable<'r>>,
        at: Range<usize>,
    ) -> Self {
        reader.remember(&path, &at);
        Self {
            reader,
            path,
            table,
            at,
            known: RefCell::default(),
        }
    }

    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the file has this key, right or wrong.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// The full name of a key of this section.
    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn find(&self, key: &'static str) -> Option<(&'r DeValue<'r>, Range<usize>)> {
        self.known.borrow_mut().push(key);
        let value = self.table?.get(key)?;
        self.reader.remember(&self.key(key), &value.span());
        Some((value.get_ref(), value.span()))
    }

    /// A table below this one; absent ones yield their defaults.
    pub fn table(&self, key: &'static str) -> Section<'r> {
        let path = self.key(key);
        match self.find(key) {
            Some((DeValue::Table(table), span)) => {
                Section::new(self.reader, path, Some(table), span)
            }
            Some((other, span)) => {
                self.reader.push(
                    path.clone(),
                    span,
                    super::values::wrong_type(other, &format!("a table, [{path}]")),
                );
                Section::new(self.reader, path, None, 0..0)
            }
            None => Section::new(self.reader, path, None, self.at.clone()),
        }
    }

    /// The tables of an array such as `[[peer]]`.
    pub fn tables(&self, key: &'static str) -> Vec<Section<'r>> {
        let Some((value, span)) = self.find(key) else {
            return Vec::new();
        };
        let path = self.key(key);
        let wrong = |value: &DeValue, span| {
            let bad = super::values::wrong_type(value, &format!("an array of tables, [[{key}]]"));
            self.reader.push(path.clone(), span, bad);
        };
        let DeValue::Array(items) = value else {
            wrong(value, span);
            return Vec::new();
        };
        let mut all = Vec::new();
        for (i, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    all.push(Section::new(
                        self.reader,
                        format!("{path}[{i}]"),
                        Some(table),
                        item.span(),
                    ));
                }
                other => wrong(other, item.span()),
            }
        }
        all
    }

    /// A value, or `default` where the file is silent (or wrong, which is then reported).
    pub fn or<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&'r DeValue<'r>) -> Result<T, Bad>,
        show: impl Fn(&T) -> String,
    ) -> T {
        match self.find(key) {
            None => {
                self.reader
                    .record(self.key(key), show(&default), Origin::Default);
                default
            }
            Some((value, span)) => self
                .accept(key, span, parse(value), &show)
                .unwrap_or(default),
        }
    }

    /// A value that has no default.
    pub fn optional<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&'r DeValue<'r>) -> Result<T, Bad>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let (value, span) = self.find(key)?;
        self.accept(key, span, parse(value), &show)
    }

    /// A value that must be there.
    pub fn required<T>(
        &self,
        key: &'static str,
        parse: impl FnOnce(&'r DeValue<'r>) -> Result<T, Bad>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let found = self.find(key);
        if found.is_none() {
            let at = self.at.start..self.at.start;
            self.reader
                .push(self.key(key), at, Bad::new("is missing and has no default"));
        }
        let (value, span) = found?;
        self.accept(key, span, parse(value), &show)
    }

    /// A list; every bad element is reported at its own place.
    pub fn list<T>(
        &self,
        key: &'static str,
        default: Vec<T>,
        parse: impl Fn(&'r DeValue<'r>) -> Result<T, Bad>,
        show: impl Fn(&T) -> String,
    ) -> Vec<T> {
        let whole =
            |all: &[T]| format!("[{}]", all.iter().map(&show).collect::<Vec<_>>().join(", "));
        let Some((value, span)) = self.find(key) else {
            self.reader
                .record(self.key(key), whole(&default), Origin::Default);
            return default;
        };
        let DeValue::Array(items) = value else {
            let bad = super::values::wrong_type(value, "an array");
            self.reader.push(self.key(key), span, bad);
            return default;
        };
        let mut all = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let path = format!("{}[{i}]", self.key(key));
            self.reader.remember(&path, &item.span());
            match parse(item.get_ref()) {
                Ok(one) => all.push(one),
                Err(bad) => self.reader.push(path, item.span(), bad),
            }
        }
        self.reader
            .record(self.key(key), whole(&all), self.reader.line(&span));
        all
    }

    /// A default that depends on other values, recorded like any other.
    pub fn record_default(&self, key: &str, value: String) {
        self.reader.record(self.key(key), value, Origin::Default);
    }

    pub fn fault(&self, key: &str, bad: Bad) {
        self.reader.fault_at(&self.key(key), bad);
    }

    fn accept<T>(
        &self,
        key: &str,
        span: Range<usize>,
        parsed: Result<T, Bad>,
        show: &impl Fn(&T) -> String,
    ) -> Option<T> {
        match parsed {
            Ok(value) => {
                self.reader
                    .record(self.key(key), show(&value), self.reader.line(&span));
                Some(value)
            }
            Err(bad) => {
                self.reader.push(self.key(key), span, bad);
                None
            }
        }
    }

    /// Reports every key that nothing asked for. Called when the section has been read.
    pub fn close(self) {
        let Some(table) = self.table else { return };
        let known = self.known.into_inner();
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let place = if self.path.is_empty() {
                "at the top level".into()
            } else {
                format!("in [{}]", self.path)
            };
            let mut bad = Bad::new(format!("unknown key {place}"));
            bad.suggestion = nearest(name, known.iter().copied())
                .map(|near| format!("`{near}`"))
                .or_else(|| {
                    super::settings::home_of(name).map(|table| format!("putting it in {table}"))
                });
            let full = if self.path.is_empty() {
                name.to_owned()
            } else {
                format!("{}.{name}", self.path)
            };
            self.reader.push(full, key.span(), bad);
        }
    }
}
