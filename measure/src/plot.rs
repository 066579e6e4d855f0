//! Line charts as SVG, readable in print and by the colour-blind.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use thiserror::Error;

/// A chart that cannot be drawn.
#[derive(Debug, Error)]
#[error("the chart {title:?} cannot be drawn: {reason}")]
pub struct PlotError {
    title: String,
    reason: String,
}

/// A line.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: String,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

/// A span of x that is marked, with a word at its top.
#[derive(Debug, Clone)]
pub struct Mark {
    pub name: String,
    pub from: f64,
    pub to: f64,
}

/// One axis: its label, with the unit, and its scale.
#[derive(Debug, Clone)]
pub struct Axis {
    pub label: String,
    /// Steps by factors of ten; values below a thousandth of the largest axis step count as its lower end.
    pub is_logarithmic: bool,
}

impl Axis {
    pub fn linear(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), is_logarithmic: false }
    }

    pub fn logarithmic(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), is_logarithmic: true }
    }
}

/// Lines over a common x axis.
#[derive(Debug, Clone)]
pub struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    pub marks: Vec<Mark>,
}

const SIZE: (u32, u32) = (860, 340);
/// Okabe and Ito's palette, darkest contrasts first (Color Universal Design, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
];
const MARKED: RGBColor = RGBColor(240, 228, 66);
const FONT: &str = "sans-serif";

impl Chart {
    /// The chart as an SVG document.
    ///
    /// # Errors
    /// [`PlotError`] where a point is not a number.
    pub fn svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        let drawn = self.draw(&mut svg);
        drawn.map_err(|reason| PlotError { title: self.title.clone(), reason })?;
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), String> {
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        if points().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
            return Err("a point is not a finite number".to_owned());
        }
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(|error| error.to_string())?;
        let mut builder = ChartBuilder::on(&root);
        builder.caption(&self.title, (FONT, 18)).margin(10).x_label_area_size(44).y_label_area_size(76);
        let x_range = range(points().map(|point| point.0), &self.x);
        let y_range = range(points().map(|point| point.1), &self.y);
        let text = |error: DrawingAreaErrorKind<_>| -> String { error.to_string() };
        match (self.x.is_logarithmic, self.y.is_logarithmic) {
            (false, false) => {
                let chart = builder.build_cartesian_2d(x_range.0..x_range.1, y_range.0..y_range.1).map_err(text)?;
                self.fill(chart, y_range)
            }
            (false, true) => {
                let y = (y_range.0..y_range.1).log_scale();
                self.fill(builder.build_cartesian_2d(x_range.0..x_range.1, y).map_err(text)?, y_range)
            }
            (true, false) => {
                let x = (x_range.0..x_range.1).log_scale();
                self.fill(builder.build_cartesian_2d(x, y_range.0..y_range.1).map_err(text)?, y_range)
            }
            (true, true) => {
                let (x, y) = ((x_range.0..x_range.1).log_scale(), (y_range.0..y_range.1).log_scale());
                self.fill(builder.build_cartesian_2d(x, y).map_err(text)?, y_range)
            }
        }
        .map_err(|error| error.to_string())?;
        root.present().map_err(|error| error.to_string())
    }

    fn fill<'a, X, Y>(
        &self,
        mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
        (bottom, top): (f64, f64),
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>
    where
        X: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    {
        for mark in &self.marks {
            let band = Rectangle::new([(mark.from, bottom), (mark.to, top)], MARKED.mix(0.35).filled());
            chart.draw_series([band])?;
            let style = (FONT, 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Top));
            chart.draw_series([Text::new(format!(" {}", mark.name), (mark.from, top), style)])?;
        }
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.x.label).y_desc(&self.y.label).light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.12));
        mesh.x_label_formatter(&label).y_label_formatter(&label).label_style((FONT, 13)).axis_desc_style((FONT, 14));
        mesh.draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let floor = |(x, y): &(f64, f64)| (*x, if self.y.is_logarithmic { y.max(bottom) } else { *y });
            let line = LineSeries::new(series.points.iter().map(floor), colour.stroke_width(2));
            let drawn = chart.draw_series(line)?.label(&series.name);
            drawn.legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
        }
        let mut legend = chart.configure_series_labels();
        legend.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.85)).border_style(BLACK.mix(0.3));
        legend.label_font((FONT, 13)).draw()
    }
}

/// The ends of an axis: from 0 where it is linear, from a tenth of the smallest value's decade where it is logarithmic.
fn range(values: impl Iterator<Item = f64> + Clone, axis: &Axis) -> (f64, f64) {
    let top = values.clone().fold(0.0, f64::max);
    if axis.is_logarithmic {
        let top = if top > 0.0 { top * 1.5 } else { 1.0 };
        let least = values.filter(|value| *value > 0.0).fold(top, f64::min);
        return (10_f64.powf(least.log10().floor()).max(top / 1e6), top);
    }
    (0.0, if top > 0.0 { top * 1.08 } else { 1.0 })
}

/// Numbers of an axis, short: `1.5M`, `20k`, `0.25`.
fn label(value: &f64) -> String {
    let (value, unit) = match value.abs() {
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (*value, ""),
    };
    let text = format!("{value:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, y: Axis) -> Chart {
        let series = vec![Series { name: "pipeline".to_owned(), points }];
        let marks = vec![Mark { name: "outage".to_owned(), from: 2.0, to: 3.0 }];
        Chart { title: "Completed".to_owned(), x: Axis::linear("seconds"), y, series, marks }
    }

    #[test]
    fn a_chart_shows_its_title_axes_series_and_marks() {
        for y in [Axis::linear("orders a second"), Axis::logarithmic("orders a second")] {
            let svg = chart((0..10).map(|x| (f64::from(x), f64::from(x * x))).collect(), y).svg().unwrap();
            for text in ["Completed", "seconds", "orders a second", "pipeline", "outage", "<polyline"] {
                assert!(svg.contains(text), "{text} is not in {svg}");
            }
        }
    }

    #[test]
    fn a_chart_without_points_is_drawn_and_one_of_no_numbers_refused() {
        assert!(chart(Vec::new(), Axis::linear("y")).svg().is_ok());
        assert!(chart(Vec::new(), Axis::logarithmic("y")).svg().is_ok());
        let error = chart(vec![(0.0, f64::NAN)], Axis::linear("y")).svg().unwrap_err();
        assert!(error.to_string().contains("Completed"), "{error}");
    }

    #[test]
    fn numbers_are_short() {
        let short = |value: f64| label(&value);
        assert_eq!(
            [short(0.0), short(0.25), short(1_500.0), short(20_000.0), short(1_500_000.0)],
            ["0", "0.25", "1500", "20k", "1.5M"]
        );
    }
}
