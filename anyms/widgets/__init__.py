"""On the screen: move a slider and see what every subject's attention does; drag a box and see what becomes of the picture.

A widget is a thin view. What it shows comes from an object that works without any browser; its state lives in traits that a program
can set; and each leaves a form in plain HTML on the page, for whoever opens the notebook without a kernel.

    choices   what every picture of a comparison has, and one moment of it (`Selection`)
    data      every moment of a comparison: pictures, maps, numbers (`ComparisonData`)
    render    one moment as a picture, its steps as a film or a strip
    report    one moment as a figure, a table, and with everything behind it a ZIP
    page      sheets of tiles, and a working explorer as one piece of HTML (`static_explorer`)
    explorer  sliders over a captured comparison (`explore`)
    library   where the pictures of new boxes come from, and what lies in the sticker tray
    board     a layout as a picture, a table, a page; a subject as the page knows it; what is to be said
    history   what can be taken back
    editor    boxes that are moved, resized, drawn, undone (`edit`)
    prompt    the prompt follows the boxes
    worker    a thread that works on the newest wish only
    reading   hover a place and see what it reads of each reference (`reading_page`)
    wish      one picture of what was set, and what its places read
    player    boxes, controls and the picture they make (`play`)
    compared  the same board by several variants, by a button (`Compared`)
    stored    a picture to look at before the model is there
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Selection="choices", ComparisonData="report",  # with the methods that `render` and `report` add
    static_explorer="page", LiveWidget="page",
    reading_page="reading", ReadingView="reading",
    Explorer="explorer", explore="explorer",
    Editor="editor", edit="editor",
    LatestOnlyWorker="worker", Superseded="worker",
    Player="player", play="player", Compared="compared",
))
