"""Equalizes files with the real OpenCV and Pillow.

Reads a JSON list of jobs from stdin and writes the bare pixels of each result to the job's "out".
It calls the C functions of OpenCV (cvEqualizeHist wraps cv::equalizeHist), so that the libraries
core and imgproc are enough: python3-opencv needs ten times as much.
"""
import ctypes
import glob
import json
import os
import sys

from PIL import Image, ImageOps
from PIL import __version__ as pillow_version

CV_8UC1, CV_8UC3, CV_RGB2GRAY = 0, 16, 7


class OpenCv:
    def __init__(self, folder):
        def load(name):
            found = sorted(glob.glob(os.path.join(folder, "**", f"libopencv_{name}.so.*"), recursive=True))
            return ctypes.CDLL(found[0], mode=ctypes.RTLD_GLOBAL)

        self.core, self.imgproc = load("core"), load("imgproc")
        self.core.cvCreateMatHeader.restype = ctypes.c_void_p
        self.core.cvCreateMatHeader.argtypes = [ctypes.c_int] * 3
        self.core.cvSetData.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        self.core.cvReleaseMat.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
        self.imgproc.cvEqualizeHist.argtypes = [ctypes.c_void_p] * 2
        self.imgproc.cvCvtColor.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]

    def _run(self, call, size, source, source_type, channels_out):
        width, height = size
        target = ctypes.create_string_buffer(width * height * channels_out)
        one = self.core.cvCreateMatHeader(height, width, source_type)
        other = self.core.cvCreateMatHeader(height, width, CV_8UC1)
        held = ctypes.create_string_buffer(source, len(source))
        self.core.cvSetData(one, held, width * (3 if source_type == CV_8UC3 else 1))
        self.core.cvSetData(other, target, width)
        call(one, other)
        for header in (one, other):
            self.core.cvReleaseMat(ctypes.byref(ctypes.c_void_p(header)))
        return target.raw

    def equalize(self, size, grey):
        return self._run(self.imgproc.cvEqualizeHist, size, grey, CV_8UC1, 1)

    def luma(self, size, rgb):
        return self._run(lambda a, b: self.imgproc.cvCvtColor(a, b, CV_RGB2GRAY), size, rgb, CV_8UC3, 1)


def opencv_job(cv, image, job):
    pixels = image.tobytes()
    if image.mode == "L":
        return cv.equalize(image.size, pixels)
    if job["mode"] == "grey":
        return cv.equalize(image.size, cv.luma(image.size, pixels))
    planes = [cv.equalize(image.size, band.tobytes()) for band in image.split()]
    return Image.merge("RGB", [Image.frombytes("L", image.size, plane) for plane in planes]).tobytes()


def main():
    cv = OpenCv(sys.argv[1])
    Image.MAX_IMAGE_PIXELS = None
    for job in json.load(sys.stdin):
        with Image.open(job["file"]) as image:
            image.load()
            done = ImageOps.equalize(image).tobytes() if job["library"] == "pillow" else opencv_job(cv, image, job)
        with open(job["out"], "wb") as out:
            out.write(done)
    print(json.dumps({"pillow": pillow_version}))


main()
