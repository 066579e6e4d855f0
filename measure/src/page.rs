//! A report as one HTML page that needs nothing else: headings, paragraphs, tables, charts.

use std::fmt::Write;

use crate::plot::{Chart, PlotError};

/// A page that is being written, from top to bottom.
#[derive(Debug, Clone)]
pub struct Page {
    title: String,
    body: String,
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;color:#1b1b1b;background:#fff;max-width:900px;\
    margin:2rem auto;padding:0 1rem}h1{font-size:1.7rem}h2{font-size:1.3rem;margin-top:2.2rem}\
    table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
    th,td{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
    th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid #888}\
    figure{margin:1rem 0}svg{max-width:100%;height:auto}.note{color:#555;font-size:.9rem}";

impl Page {
    pub fn new(title: &str) -> Page {
        Page { title: escape(title), body: String::new() }
    }

    pub fn heading(&mut self, text: &str) -> &mut Page {
        self.element("h2", "", text)
    }

    pub fn paragraph(&mut self, text: &str) -> &mut Page {
        self.element("p", "", text)
    }

    /// What is said in passing: the machine, versions.
    pub fn note(&mut self, text: &str) -> &mut Page {
        self.element("p", " class=\"note\"", text)
    }

    fn element(&mut self, name: &str, attributes: &str, text: &str) -> &mut Page {
        let text = escape(text);
        self.put(format_args!("<{name}{attributes}>{text}</{name}>\n"))
    }

    /// A table with a row of heads.
    pub fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) -> &mut Page {
        let cells = |name: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
            cells.map(|cell| format!("<{name}>{}</{name}>", escape(cell))).collect()
        };
        let head = cells("th", &mut heads.iter().copied());
        self.put(format_args!("<table><thead><tr>{head}</tr></thead><tbody>\n"));
        for row in rows {
            let row = cells("td", &mut row.iter().map(String::as_str));
            self.put(format_args!("<tr>{row}</tr>\n"));
        }
        self.put(format_args!("</tbody></table>\n"))
    }

    /// A chart, as vectors within the page.
    pub fn chart(&mut self, chart: &Chart) -> Result<&mut Page, PlotError> {
        let svg = chart.svg()?;
        Ok(self.put(format_args!("<figure>{svg}</figure>\n")))
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) -> &mut Page {
        self.body.write_fmt(text).expect("a string takes any text");
        self
    }

    /// The whole document.
    pub fn html(&self) -> String {
        let Page { title, body } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n\
             <body><h1>{title}</h1>\n{body}</body></html>\n"
        )
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Axis, Series};

    #[test]
    fn a_page_holds_everything_and_asks_for_nothing() {
        let series = vec![Series { name: "rate".to_owned(), points: vec![(0.0, 1.0), (1.0, 2.0)] }];
        let (x, y) = (Axis::linear("s"), Axis::linear("records/s"));
        let chart = Chart { title: "Rate".to_owned(), x, y, series, marks: Vec::new() };
        let mut page = Page::new("A & B");
        page.heading("One").paragraph("<script>").table(&["a", "b"], &[vec!["1".into(), "\"2\"".into()]]);
        page.chart(&chart).unwrap().note("2 cores");
        let html = page.html();
        for part in ["<h1>A &amp; B</h1>", "&lt;script&gt;", "<td>&quot;2&quot;</td>", "<svg", "2 cores"] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        let external = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!external.contains("http") && !external.contains("<script"), "{html}");
    }
}
