"""A CLASS AT THE WALL: phones draw boxes or vote, one laptop draws their pictures and fills the projector.

Nothing here runs unless `anyms class --serve` asks for it; no names, no addresses, nothing on the disk, nothing beyond the room's network.

- `messages`: what a phone may say; every number and word of it checked.
- `questions`: the tutorials' Predicts with four answers each.
- `limits`: so many at once, then so many a second.
- `door`: a code that ends, and slow guessing.
- `room`: phones, queue, wall and votes: the whole logic, without a server and without a clock.
- `painter`: different layouts in shared U-Net calls, and the thread that draws them.
- `pages`: what phones and projector load, and the policy it comes with.
- `serve`: the server: the room's network only, bounded in every direction.
- `crowd`: a simulated class, to measure it.
- `opening`: a wall from open to closed.
- `terminal`: `anyms class --serve`.
"""
from anyms import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, dict(
    Drawing="messages", Sticker="messages", Refused="messages",
    Question="questions", QUESTIONS="questions",
    Room="room",
    draw_layouts="painter", Painter="painter", sticker_painter="painter",
    WallServer="serve",
    send_crowd="crowd",
    open_wall="opening",
))
