"""The world whose truth is known, the small SDXL trained on it, and the judge that says what its pictures show.

world      scenes whose every box, noun, drawing and colour is known
model      SDXL in small, with an IP-Adapter Plus: networks, weights, decoder
judge      what stands where in a picture, and how far that is what was asked
training   how the model was taught, and can be taught on
protocol   all measurements of given weights by one command
language   what captions can say, and whether the model listens
ablation   what each ingredient of the training is worth
card       what the model is, can and cannot do, from the files beside its weights
"""
