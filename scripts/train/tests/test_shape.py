import unittest

from train.shape import check_solver, config


class Solver(unittest.TestCase):
    def test_the_configs_solver_is_one_that_the_engine_takes(self):
        check_solver(config()["solver"])

    def test_what_the_engine_refuses_is_refused(self):
        for change in [{"name": "rk4"}, {"steps": 0}, {"shift": 0.001}, {"guidance": 101}]:
            with self.assertRaises(ValueError):
                check_solver({**config()["solver"], **change})


if __name__ == "__main__":
    unittest.main()
