"""The steps that draw a run's figures and write its pages, from its tables."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rosetta.config import Config
from rosetta.errors import ConfigError
from rosetta.models.neurons import Neuron
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.atomic import replacing
from rosetta.storage.digests import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Each step imports what it draws with: the figures of one rule do not wait for those of another.


def figures_step(config: Config, paths: Paths) -> None:
    """Draw the scaling law."""
    from rosetta.report.scaling_figure import ScalingTables, draw_scaling, draw_scaling_column

    tables = ScalingTables.read(paths)
    _save(
        paths,
        {"scaling": draw_scaling(tables), "scaling_column": draw_scaling_column(tables)},
    )


def control_figures_step(config: Config, paths: Paths) -> None:
    """Draw the nulls, the sweeps and the stability."""
    from rosetta.report.control_figures import draw_control_figures

    _save(paths, draw_control_figures(config, paths))


def neuron_figures_step(config: Config, paths: Paths) -> None:
    """Draw what Rosetta Neurons are like."""
    from rosetta.report.neuron_figures import draw_neuron_figures

    _save(paths, draw_neuron_figures(paths))


def instrument_figures_step(config: Config, paths: Paths) -> None:
    """Draw exponents, counts and similarities under all instruments."""
    from rosetta.report.instrument_figure import InstrumentTables, draw_instruments

    _save(paths, {"instruments": draw_instruments(InstrumentTables.read(paths))})


def emergence_figures_step(config: Config, paths: Paths) -> None:
    """Draw when the Rosetta Neurons of training ladders emerge."""
    from rosetta.report.emergence_figure import EmergenceTables, draw_emergence

    _save(paths, {"emergence": draw_emergence(EmergenceTables.read(paths))})


def across_seeds_figures_step(config: Config, paths: Paths) -> None:
    """Draw how many trainings of one recipe share neurons."""
    from rosetta.report.across_seeds_figure import draw_across_seeds

    _save(paths, {"across_seeds": draw_across_seeds(paths)})


def attribution_figures_step(config: Config, paths: Paths) -> None:
    """Draw the share of matches that their outputs confirm."""
    from rosetta.report.attribution_figure import draw_attribution

    _save(paths, {"attribution": draw_attribution(paths)})


def ablation_figures_step(config: Config, paths: Paths) -> None:
    """Draw what ablations cost."""
    from rosetta.report.ablation_figure import draw_ablation

    _save(paths, {"ablation": draw_ablation(paths)})


def sae_figures_step(config: Config, paths: Paths) -> None:
    """Draw what autoencoders say of neurons, and how many of their features match."""
    from rosetta.report.sae_figure import SaeTables, draw_sae

    _save(paths, {"sae": draw_sae(SaeTables.read(paths))})


def theory_figures_step(config: Config, paths: Paths) -> None:
    """Draw the theory beside what was measured."""
    from rosetta.report.theory_figures import draw_theory

    _save(paths, draw_theory(config, paths))


def filtering_figure_step(config: Config, paths: Paths) -> None:
    """Draw what the filters find, and what that is worth."""
    from rosetta.report.filtering_figures import draw_filtering

    _save(paths, {"filtering": draw_filtering(config, paths)})


def contact_sheet_step(config: Config, paths: Paths, pair: str) -> None:
    """Draw the best matches of a pair of models that see images."""
    from rosetta.report.contact_sheets import draw_contact_sheet
    from rosetta.report.figures import save_picture

    save_picture(draw_contact_sheet(config, paths, pair), paths.contact_sheet(pair))


def contact_card_step(config: Config, paths: Paths, store: str, neuron: Neuron, out: Path) -> None:
    """Draw the card of one neuron: its top images, its map on each, and both laid over each other.

    Raises
    ------
    ConfigError
        If there are no stores of that name, they are not of images, or the file's name ends in
        neither `.png` nor `.webp`.
    StoreError
        If the model has no such neuron.
    """
    from rosetta.analysis.image_tables import read_top_maps
    from rosetta.drawing.contact_cards import FORMS, NeuronOnImages, contact_card, encoded
    from rosetta.inputs.images.shown_images import ShownImages

    models = config.used_models("images")
    known = [name for model in models for name in config.stores_of_model(model)]
    if store not in known:
        names = ", ".join(known) or "none"
        raise ConfigError(f"--stores: {store!r} are no stores of images; there are {names}.")
    form = FORMS.get(out.suffix.lower())
    if form is None:
        raise ConfigError(f"--out: {out} is neither a .png nor a .webp file. Name one of these.")
    top = read_top_maps(paths, store, [neuron])[neuron]
    pixels = ShownImages.of(config, paths, store).pixels(top.images)
    title = f"{store} L{neuron.layer}/U{neuron.unit}"
    card = encoded(contact_card(NeuronOnImages(pixels, top.maps), title), form)
    with replacing(out, len(card)) as temporary:
        temporary.write_bytes(card)


def place_maps_step(config: Config, paths: Paths) -> None:
    """Write how much of r place alone makes, pair by pair, and draw where."""
    from rosetta.analysis.place_table import place_table
    from rosetta.report.place_figure import draw_place_maps
    from rosetta.storage.tables import write_csv

    table, maps = place_table(config, paths)
    write_csv(paths.table("place"), table)
    _save(paths, {"place": draw_place_maps(maps)})


def _save(paths: Paths, figures: dict[str, Figure]) -> None:
    """Write figures by their names, once all of them are drawn."""
    from rosetta.report.figures import save_figure

    for name, figure in figures.items():
        save_figure(figure, paths.figure(name, "png").with_suffix(""))


def viewer_step(config: Config, paths: Paths) -> None:
    """Write the neuron viewer, and a folder of its texts where they are too large for one file."""
    from rosetta.report.viewer import viewer_page

    _write_viewer(paths, *viewer_page(config, paths))


def _write_viewer(paths: Paths, page: str, parts: list[str]) -> None:
    """Write a page and what lies beside it, in place of an earlier one."""
    folder = paths.viewer_part(0).parent
    shutil.rmtree(folder, ignore_errors=True)
    for number, part in enumerate(parts):
        write_text(paths.viewer_part(number), part)
    write_text(paths.viewer, page)
    if parts:
        say(
            f"{paths.viewer}: its texts are too large for one file and lie in {folder}, beside it. "
            "Keep the two together."
        )


def report_step(config: Config, paths: Paths) -> None:
    """Write the self-contained report."""
    from rosetta.report.page import render_report

    write_text(paths.report, render_report(config, paths))


def view_step(
    places: list[Path], port: int | None, *, are_matches: bool, opens_browser: bool
) -> None:
    """Serve a run's pages, or a viewer of matches, to this machine until the user stops it.

    Parameters
    ----------
    places : list of Path
        The results folder of one run, or files of matches, of one pair each.
    port : int or None
        As in `serving.page_server`.
    are_matches : bool
        Which of the two.
    opens_browser : bool
        Whether to open the first page in the browser.

    Raises
    ------
    ConfigError
        If the folder has no run or no page yet, or the port cannot be had.
    StoreError
        If a page is damaged, or a file is not the matches of one pair.
    """
    import webbrowser

    from rosetta.report.serving import page_server, pages_of

    with ExitStack() as kept:
        if are_matches:
            from rosetta.report.viewer_matches import matches_page  # draws; a run's pages are drawn

            folder = Path(kept.enter_context(TemporaryDirectory()))
            _write_viewer(Paths(folder), *matches_page(places))
            first = Paths(folder).viewer.name
        else:
            folder = places[0]
            first = pages_of(folder)[0]
        server = kept.enter_context(page_server(folder, places, port))
        address = server.address_of(first)
        say(f"{address} (Ctrl+C stops it)")
        if opens_browser and not webbrowser.open(address):
            say("no browser could be started: open the address yourself")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
