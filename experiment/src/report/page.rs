//! The report as one HTML page, and as the files of a folder.

use std::path::Path;

use unchain_measure::{Page, PlotError};

use super::method::TERMS;
use super::plots::Plots;
use super::{Report, Section};
use crate::error::ExperimentError;

const TITLE: &str = "Synchronous calls and a pipeline under the same faults";

impl Report {
    /// Writes `report.html`, `report.md`, `report.json` and the plots into a folder, which is made where it is missing.
    pub fn write(&self, plots: &Plots, folder: &Path) -> Result<(), ExperimentError> {
        std::fs::create_dir_all(folder).map_err(ExperimentError::file(folder))?;
        let mut files = plots.svgs()?;
        files.push(("report.html".to_owned(), self.to_html(plots)?));
        files.push(("report.md".to_owned(), self.to_markdown(|scenario| plots.files(scenario))));
        files.push(("report.json".to_owned(), self.to_json()));
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(ExperimentError::file(path))?;
        }
        Ok(())
    }

    fn to_html(&self, plots: &Plots) -> Result<String, PlotError> {
        let mut page = Page::new(TITLE);
        page.paragraph(
            "Verification, payment, inventory, shipping and e-mail, once as services that call each other over HTTP, once as \
             processors.",
        );
        page.note(&self.machine.summary());
        for section in &self.commentary {
            write_section(&mut page, section);
        }
        for scenario in self.scenarios() {
            let name = scenario.name();
            page.heading(&format!("{}{}", name[..1].to_uppercase(), &name[1..]));
            page.paragraph(&format!("{}.", self.happens(scenario)));
            let rows = self.rows(scenario);
            let heads: Vec<_> = rows[0].iter().map(String::as_str).collect();
            page.table(&heads, &rows[1..]);
            for plot in plots.0.iter().filter(|plot| plot.scenario == scenario) {
                page.chart(&plot.chart)?;
            }
        }
        write_section(&mut page, &self.method());
        page.heading("Words");
        let terms: Vec<_> =
            TERMS.iter().map(|(term, meaning)| vec![(*term).to_owned(), (*meaning).to_owned()]).collect();
        page.table(&["word", "meaning"], &terms);
        Ok(page.html())
    }
}

fn write_section(page: &mut Page, section: &Section) {
    page.heading(&section.title);
    for sentence in &section.sentences {
        page.paragraph(sentence);
    }
}
