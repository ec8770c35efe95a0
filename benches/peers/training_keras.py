"""The merge decoder's training step in Keras, as the published captioning scripts take it.

Every prefix of every caption is a sample of its own: the words so far, padded in front to the longest caption of
the dataset, with the next word as a one-hot target of a softmax. Samples are laid out anew for every batch, as
their generators do.
"""

import numpy as np
import tensorflow as tf
from serve import serve
from tensorflow.keras import Model, layers, optimizers, utils

START, FIRST_WORD = 1, 4


def merge(order):
    hidden, dropout = order["hidden"], order["dropout"]
    features = layers.Input((order["channels"],))
    image = layers.Dense(hidden, activation="relu")(layers.Dropout(dropout)(features))
    words = layers.Input((order["longest"],), dtype="int32")
    text = layers.Embedding(order["vocabulary"], hidden, mask_zero=True)(words)
    text = layers.LSTM(hidden)(layers.Dropout(dropout)(text))
    joint = layers.Dense(hidden, activation="relu")(layers.add([image, text]))
    model = Model([features, words], layers.Dense(order["vocabulary"], activation="softmax")(joint))
    model.compile(loss="categorical_crossentropy", optimizer=optimizers.Adam(order["learning_rate"]))
    return model


def samples(features, captions, longest, vocabulary):
    images, prefixes, targets = [], [], []
    for image, caption in zip(features, captions):
        for end in range(1, len(caption)):
            prefix = np.zeros(longest, "int32")
            prefix[-end:] = caption[:end]
            images.append(image)
            prefixes.append(prefix)
            targets.append(caption[end])
    return [np.array(images), np.array(prefixes)], utils.to_categorical(targets, vocabulary)


def prepare(order):
    tf.config.threading.set_intra_op_parallelism_threads(order["threads"])
    utils.set_random_seed(1)
    random = np.random.default_rng(1)
    longest, vocabulary = order["longest"], order["vocabulary"]
    model = merge(order)

    def batch(targets):
        features = random.random((len(targets), order["channels"]), dtype="float32")
        words = [random.integers(FIRST_WORD, vocabulary, length) for length in targets]
        return features, [np.concatenate([[START], caption]) for caption in words]

    batches = [batch(targets) for targets in order["batches"]]

    def train():
        for features, captions in batches:
            model.train_on_batch(*samples(features, captions, longest, vocabulary))

    return train


if __name__ == "__main__":
    serve(prepare)
